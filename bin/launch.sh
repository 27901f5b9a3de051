# Read by the shell that runs `static-call`, with its words as "$@" and the path of the program in
# $self. To start node takes longer than to compile a small file, and most files of a build have no
# static calls. So the compiler is run from here, with the words that `cc` adds
# (src/host/compilation.ts), and node is started only for an object that names a trampoline. A
# command that is not plainly understood here goes to node at once: test/cside/launch.long.ts
# compares them.

# Sets $assembler. A name tells what a compiler is only where a program of the machine lies behind
# it: a script may run anything, and so may the link of a compiler cache.
known() {
  program=$(command -v "$1") && program=$(readlink -f "$program") || return 1
  [ "$(head -c 4 "$program" 2>/dev/null)" = "$(printf '\177ELF')" ] || return 1
  case ${program##*/} in
    clang | clang++ | clang-[0-9]* | clang++-[0-9]*) assembler=llvm ;;
    gcc | g++ | *-gcc | *-g++ | gcc-[0-9]* | g++-[0-9]* | *-gcc-[0-9]* | *-g++-[0-9]*)
      assembler=gas ;;
    *) return 1 ;;
  esac
}

# Whether the words behind `cc -- COMPILER` make one object of one source. Sets $out and $source.
plain() {
  shift 3
  out='' source='' compiles='' value=''
  for word; do
    case $value in
      skip) value=''; continue ;;
      out) out=$word value=''; continue ;;
    esac
    case $word in
      -c) compiles=yes ;;
      -o) [ -z "$out" ] || return 1; value=out ;;
      -I | -D | -U | -isystem | -iquote | -idirafter | -include | -imacros | -MF | -MT | -MQ)
        value=skip ;;
      -W[alp],* | -flto* | -fno-lto | -fno-plt | -f*integrated-as | -f*-only | -framework | -mllvm)
        return 1 ;;
      -gcc-toolchain*) return 1 ;;
      -I* | -D* | -U* | -O* | -W* | -f* | -m* | -g* | -std=* | -ansi | -pedantic | -pthread) ;;
      -pipe | -w | -MD | -MMD | -MP | -nostdinc) ;;
      -* | @*) return 1 ;;
      *.[cCsS] | *.cc | *.cpp | *.cxx) [ -z "$source" ] || return 1; source=$word ;;
      *) return 1 ;;
    esac
  done
  [ -z "$value" ] && [ -n "$compiles" ] && [ -n "$out" ] && [ -n "$source" ]
}

compile() {
  shift 2
  include=-I${self%/bin/*}/include
  case $assembler in
    gas) "$@" "$include" -Wa,-malign-branch-boundary=64 -Wa,-malign-branch=call+jmp ;;
    llvm) "$@" "$include" -mllvm -x86-align-branch-boundary=64 -mllvm -x86-align-branch=call+jmp ;;
  esac
}

# Whether a file has a text: no is 1, and anything else is not known.
holds() {
  LC_ALL=C grep -qF -e "$1" -- "$2" 2>/dev/null
}

# Ends as the compiler did, whose status it reads. Node 20 reads every certificate that the variable
# names before it does anything, and no network is asked here.
tabulate() {
  NODE_EXTRA_CA_CERTS='' node "${self%/*}/beside.cjs" "$1" 3>&-
}

if [ $# -gt 3 ] && [ "$1 $2" = "cc --" ] && plain "$@" && known "$3"; then
  exec 3>&1
  if holds static_call "$source"; then
    # It will be needed: node loads the decoder while the compiler runs.
    { compile "$@" >&3 3>&-; echo $?; } | tabulate "$out"
    exit
  fi
  compile "$@" 3>&- || exit
  [ -f "$out" ] || exit 0
  # A header may have brought calls.
  holds __SCT__ "$out"
  [ $? = 1 ] && exit 0
  echo 0 | tabulate "$out"
  exit
fi
exec node "$self" "$@"

# find_package(static-call): the target static-call::static-call has the header and, for C and C++,
# the options that keep calls inside cache lines. There is nothing to link.
#
#   find_package(static-call REQUIRED)
#   target_link_libraries(filters PRIVATE static-call::static-call)
#   static_call_annotate(filters)   # optional: the table of sites is written after the link

get_filename_component(STATIC_CALL_ROOT "${CMAKE_CURRENT_LIST_DIR}/../../.." ABSOLUTE)
set(STATIC_CALL_INCLUDE_DIR "${STATIC_CALL_ROOT}/include")
set(STATIC_CALL_EXECUTABLE "${STATIC_CALL_ROOT}/bin/static-call")

if(NOT TARGET static-call::static-call)
  add_library(static-call::static-call INTERFACE IMPORTED)
  set_target_properties(static-call::static-call PROPERTIES
    INTERFACE_INCLUDE_DIRECTORIES "${STATIC_CALL_INCLUDE_DIR}")
  foreach(language C CXX)
    if(CMAKE_${language}_COMPILER_ID STREQUAL "GNU")
      target_compile_options(static-call::static-call INTERFACE
        "$<$<COMPILE_LANGUAGE:${language}>:-Wa,-malign-branch-boundary=64,-malign-branch=call+jmp>")
    elseif(CMAKE_${language}_COMPILER_ID MATCHES "Clang")
      target_compile_options(static-call::static-call INTERFACE
        "$<$<COMPILE_LANGUAGE:${language}>:SHELL:-mllvm -x86-align-branch-boundary=64>"
        "$<$<COMPILE_LANGUAGE:${language}>:SHELL:-mllvm -x86-align-branch=call+jmp>")
    endif()
  endforeach()
endif()

function(static_call_annotate target)
  add_custom_command(TARGET ${target} POST_BUILD
    COMMAND "${STATIC_CALL_EXECUTABLE}" annotate "$<TARGET_FILE:${target}>"
    VERBATIM)
endfunction()

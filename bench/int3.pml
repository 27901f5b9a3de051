/* SPDX-License-Identifier: MIT
 *
 * The int3 protocol at the grain of chunks: a site of three chunks, of which the first can be the trap; a CPU fetches
 * one chunk after the other and may use a chunk as old as its last serialisation. Two updates. What `static-call
 * bench` gives to SPIN; what is really checked is machine code, by `static-call check`.
 */
#define CPUS 2
#define TRAP 9

byte text[3];          /* version 0, 1, 2, or TRAP */
byte newest;           /* what the trap handler emulates */
bool may[9];           /* may[3 * cpu + chunk]: the chunk may still be the one of before */
byte before[9];        /* and that was this */
bool again[3];         /* serialised in the middle of a fetch: what was fetched is discarded */

inline write(chunk, value) {
	byte c;
	d_step {
		c = 0;
		do
		:: c < CPUS ->
			if
			:: !may[3 * c + chunk] -> before[3 * c + chunk] = text[chunk]; may[3 * c + chunk] = true
			:: else
			fi;
			c++
		:: else -> break
		od;
		text[chunk] = value;
		c = 0
	}
}

/* Each CPU serialises at a moment of its own before the next step. */
inline sync() {
	byte s = 0;
	do
	:: s < CPUS -> d_step { may[3 * s] = false; may[3 * s + 1] = false; may[3 * s + 2] = false; before[3 * s] = 0; before[3 * s + 1] = 0; before[3 * s + 2] = 0; again[s] = true; s++ }
	:: else -> s = 0; break
	od
}

active proctype patcher() {
	byte v = 1;
	do
	:: v < 3 ->
		newest = v;
		write(0, TRAP);
		sync();
		write(1, v);
		write(2, v);
		sync();
		write(0, v);
		sync();
		v++
	:: else -> break
	od
}

inline fetch(chunk, into) {
	if
	:: into = text[chunk]
	:: may[3 * me + chunk] -> into = before[3 * me + chunk]
	fi
}

active [CPUS] proctype cpu() {
	byte me = _pid - 1, a, b, c, pass = 0;
	do
	:: pass < 3 ->
		again[me] = false;
		fetch(0, a);
		if
		:: a == TRAP -> a = newest; d_step { may[3 * me] = false; may[3 * me + 1] = false; may[3 * me + 2] = false }
		:: else ->
			fetch(1, b);
			fetch(2, c);
			assert(again[me] || (a == b && b == c))
		fi;
		d_step { a = 0; b = 0; c = 0; pass = pass + !again[me] }
	:: else -> break
	od
}

# Sites that are the first and the last bytes of the only page of their text, with nothing mapped on either side of it
# (linked with pages of 2 MiB and no other code).
	.text
	.balign 4096
begin:
	.globl first, last
	.type first, @function
first:	call __SCT__edge
	ret
	.size first, . - first
	.type one, @function
one:	lea 1(%rdi), %rax
	ret
	.size one, . - one
	.globl two
	.type two, @function
two:	lea 2(%rdi), %rax
	ret
	.size two, . - two
	.balign 8
	.globl __SCT__edge
	.hidden __SCT__edge
	.type __SCT__edge, @function
__SCT__edge:
	jmp.d32 one
	.byte 0x0f, 0xb9, 0xcc
	.size __SCT__edge, 8
	.org begin + 4096 - 5
	.type last, @function
last:	jmp __SCT__edge
	.size last, . - last

	.data
	.balign 16
	.globl __SCK__edge
	.hidden __SCK__edge
__SCK__edge:
	.quad one, 0

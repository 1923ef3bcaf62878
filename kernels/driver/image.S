// The module, as data of the program: IMAGE is a fatbin, or a list of kernels for the emulator.
	.section .note.GNU-stack,"",%progbits
	.section .rodata
	.globl longtake_kernels
	.balign 64
longtake_kernels:
	.incbin IMAGE
.Lend:
	.byte 0
	.globl longtake_kernels_bytes
	.balign 8
longtake_kernels_bytes:
	.quad .Lend - longtake_kernels

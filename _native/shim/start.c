/* Where the kernel enters a program that has no libc. The stack is aligned as the ABI wants it at a call. */
void helper_main(void);

#if __STDC_HOSTED__ /* the sanitizers' build has a libc */
int main(void) {
    helper_main();
    return 0;
}
#elif defined(__x86_64__)
__asm__(".globl _start\n_start:\n xor %ebp, %ebp\n and $-16, %rsp\n call helper_main\n hlt\n");
#elif defined(__aarch64__)
__asm__(".globl _start\n_start:\n mov x29, #0\n mov x30, #0\n bl helper_main\n brk #0\n");
#endif

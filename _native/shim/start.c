/* Where the kernel enters a program that has no libc: with argc, argv and the environment on the stack, one
 * behind the other. The stack is aligned as the ABI wants it at a call. */
void helper_main(const long *stack);

#if __STDC_HOSTED__ /* the sanitizers' build has a libc */
int main(int argc, char **argv) {
    (void)argc;
    helper_main((const long *)argv - 1);
    return 0;
}
#elif defined(__x86_64__)
__asm__(
    ".globl _start\n_start:\n xor %ebp, %ebp\n mov %rsp, %rdi\n and $-16, %rsp\n call helper_main\n hlt\n");
#elif defined(__aarch64__)
__asm__(".globl _start\n_start:\n mov x29, #0\n mov x30, #0\n mov x0, sp\n bl helper_main\n brk #0\n");
#endif

// SPDX-License-Identifier: Apache-2.0
// A 32-bit program without a C library, for guests: system calls by int 0x80 and by what the kernel's vdso takes, a
// signal and its return, and an end with status 32. It is built without 32-bit headers.
typedef unsigned u32;

enum { SYS_exit = 1, SYS_write = 4, SYS_getpid = 20, SYS_kill = 37, SYS_rt_sigaction = 174, SIGUSR1 = 10 };
enum { AT_SYSINFO = 32, SA_SIGINFO = 4, SA_RESTORER = 0x04000000 };

static int int80(u32 number, u32 a, u32 b, u32 c, u32 d) {
    int result;
    __asm__ volatile("int $0x80" : "=a"(result) : "0"(number), "b"(a), "c"(b), "d"(c), "S"(d) : "memory");
    return result;
}

static void say(const char* text) {
    u32 length = 0;
    while (text[length] != 0)
        length++;
    int80(SYS_write, 1, (u32)text, length, 0);
}

static void end_unless(int good, const char* what) {
    if (good)
        return;
    say("program32: wrong: ");
    say(what);
    say("\n");
    int80(SYS_exit, 1, 0, 0, 0);
}

static volatile int signals;

static void on_signal(int number) {
    signals += number == SIGUSR1;
}

__asm__("restore:\n"
        "    mov $173, %eax\n" // rt_sigreturn
        "    int $0x80\n");
extern char restore[];

static u32 sysinfo_of(u32* word) {
    word += word[0] + 2; // argc, argv
    while (*word != 0)
        word++;
    for (word++; word[0] != 0; word += 2)
        if (word[0] == AT_SYSINFO)
            return word[1];
    return 0;
}

/// As the C library calls the kernel: the vdso's SYSCALL on AMD's processors, SYSENTER on Intel's.
static int by_vdso(u32 entry, u32 number) {
    int result;
    __asm__ volatile("call *%1" : "=a"(result) : "r"(entry), "0"(number) : "ecx", "edx", "memory");
    return result;
}

__attribute__((used)) static void begin(u32* stack) {
    const int pid = int80(SYS_getpid, 0, 0, 0, 0);
    end_unless(pid > 1, "getpid by int 0x80");
    end_unless(int80(9999, 0, 0, 0, 0) == -38, "a number without a call"); // ENOSYS
    const u32 sysinfo = sysinfo_of(stack);
    end_unless(sysinfo != 0, "no AT_SYSINFO");
    for (int i = 0; i < 1000; i++)
        end_unless(by_vdso(sysinfo, SYS_getpid) == pid, "getpid by the vdso");
    const u32 action[5] = {(u32)on_signal, SA_SIGINFO | SA_RESTORER, (u32)restore, 0, 0};
    end_unless(int80(SYS_rt_sigaction, SIGUSR1, (u32)action, 0, 8) == 0, "rt_sigaction");
    end_unless(int80(SYS_kill, (u32)pid, SIGUSR1, 0, 0) == 0, "kill");
    end_unless(signals == 1, "the signal did not come, or there was no way back");
    say("program32: all good\n");
    int80(SYS_exit, 32, 0, 0, 0);
}

__asm__(".globl _start\n"
        "_start:\n"
        "    mov %esp, %eax\n"
        "    and $-16, %esp\n"
        "    sub $12, %esp\n"
        "    push %eax\n"
        "    call begin\n");

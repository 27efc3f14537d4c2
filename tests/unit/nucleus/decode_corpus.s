# SPDX-License-Identifier: Apache-2.0
# Instructions for decode_test.cpp; decode_corpus.py makes decode_corpus.inc of them.
# memory writers
mov %al,(%rdi)
mov %r9b,8(%rdi)
mov %sil,(%rax,%rbx,4)
mov %ax,-8(%rbp)
mov %eax,0x12345678(%rsp)
mov %rax,(%rdi)
mov %r15,0x10(%r12)
mov %rcx,(%r13)
mov %rcx,(%r13,%r14,8)
mov %rdx,0x20(,%rsi,2)
mov %rdx,0x7fff0000
mov %rax,0x11223344(%rip)
movb $0x80,(%rdi)
movw $0x1234,(%rdi)
movl $0x12345678,(%rdi)
movq $-1,0x7f(%rdi)
movq $0x1000,0x100(%rip)
xchg %rax,(%rdi)
xchg %cl,(%rdi)
lock cmpxchg %rcx,(%rdi)
lock cmpxchg8b (%rdi)
lock xadd %rax,(%rdi)
addl $1,(%rdi)
.byte 0x48,0x83,0x07,0x01
lock andq $-3,(%rdi)
lock orq $0x12345678,(%rdi,%rcx,8)
lock btrq $1,(%rdi)
lock bts %rax,(%rdi)
btc %eax,(%rdi)
incq (%rdi)
decb (%rdi)
notq (%rdi)
negl (%rdi)
rep stosq
stosb
rep movsq
movsl
movnti %rax,(%rdi)
movabs %rax,0x1122334455667788
movabs %al,0xffff888000000000
addr32 mov %eax,(%edi)
addr32 movabs %eax,0x11223344
mov %eax,%fs:(%rdi)
mov %rax,%gs:0x10
# system
mov %cr0,%rax
mov %cr3,%r8
mov %rax,%cr4
mov %cr8,%rax
mov %rax,%dr7
mov %dr0,%r15
rdmsr
wrmsr
cpuid
in $0x60,%al
in (%dx),%eax
out %ax,(%dx)
rep insb
rep outsl
hlt
cli
sti
clts
invlpg (%rax)
invlpg 0x100(%rax,%rbx,8)
wbinvd
invd
xsetbv
xgetbv
rdtsc
rdtscp
smsw %eax
lmsw %ax
swapgs
lgdt (%rdi)
sysretq
iretq
ud2
int $0x80
int3
# others, for the lengths
mov $0x1122334455667788,%rax
mov $1,%ax
mov $1,%r10d
test $1,%al
test $0x12345678,%eax
testb $1,(%rdi)
testw $0x1234,(%rdi)
testq $0x12345678,0x10(%rdi)
not %rax
neg %al
imul $3,(%rdi),%rax
imul $0x12345,(%rdi),%rax
imul %rcx,%rdx
push $1
push $0x12345
pushw $0x1234
jmp .+0x1000
jne .+0x1000
je .+4
call .+0x1000
ret
ret $8
enter $8,$1
leave
movzbl (%rdi),%eax
movsx %ax,%rcx
movslq %eax,%rcx
lea 0x8(%rsp,%rax,2),%rcx
shl $3,%rax
shld $3,%rax,(%rdi)
shrd %cl,%rax,(%rdi)
btq $3,(%rdi)
bswap %rax
cmove %rax,%rcx
sete (%rdi)
popcnt %rax,%rcx
movdqu %xmm0,(%rdi)
movaps 0x10(%rsp),%xmm8
pshufd $1,%xmm0,%xmm1
shufps $1,(%rdi),%xmm1
emms
fldl (%rdi)
fxsave (%rdi)
prefetcht0 (%rdi)
nopw 0x0(%rax,%rax,1)
nopw %cs:0x0(%rax,%rax,1)
xchg %ax,%ax
endbr64
pause
lfence
sfence
cmpxchg16b (%rdi)
rdfsbase %rax

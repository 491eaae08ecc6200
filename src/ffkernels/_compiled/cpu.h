/* Whether processor and operating system support an instruction set the kernels are built for. */
#ifndef FFKERNELS_CPU_H
#define FFKERNELS_CPU_H

#if (defined(__GNUC__) || defined(__clang__)) && defined(__x86_64__)
#include <cpuid.h>
/* `__builtin_cpu_supports` of older compilers has not heard of it. */
static int has_f16c(void) {
    unsigned a, b, c, d;
    return __get_cpuid(1, &a, &b, &c, &d) && (c & bit_F16C);
}
static int has_avx2(void) {
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && has_f16c();
}
static int has_avx512(void) {
    return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
}
#elif defined(_MSC_VER) && defined(_M_X64)
#include <immintrin.h>
#include <intrin.h>
static int has_bits(int subleaf_ebx, int ecx, unsigned long long state) {
    int r[4];
    __cpuid(r, 0);
    if (r[0] < 7) return 0;
    __cpuid(r, 1);
    if ((r[2] & ecx) != ecx || !(r[2] & (1 << 27)) || (_xgetbv(0) & state) != state) return 0;
    __cpuidex(r, 7, 0);
    return (r[1] & subleaf_ebx) == subleaf_ebx;
}
/* ecx of leaf 1: fma 12, avx 28, f16c 29; ebx of leaf 7: avx2 5, avx512 f 16, dq 17, bw 30, vl 31; xcr0:
   sse 1, avx 2, the three parts of avx512 state 5 to 7. */
static int has_avx2(void) { return has_bits(1 << 5, 1 << 12 | 1 << 28 | 1 << 29, 0x6); }
static int has_avx512(void) {
    return has_bits(1 << 5 | 1 << 16 | 1 << 17 | 1 << 30 | (int)(1u << 31), 1 << 12 | 1 << 28 | 1 << 29, 0xe6);
}
#else
static int has_avx2(void) { return 0; }
static int has_avx512(void) { return 0; }
#endif

#endif

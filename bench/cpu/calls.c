/* Recursion and calls through pointers: what a unit cannot keep in its registers. */
#include "guest.h"

__attribute__((noinline)) static unsigned long fib(unsigned long n)
{
	return n < 2 ? n : fib(n - 1) + fib(n - 2);
}

__attribute__((noinline)) static unsigned long add(unsigned long x) { return x + 3; }
__attribute__((noinline)) static unsigned long rotate(unsigned long x) { return x << 7 | x >> 57; }
__attribute__((noinline)) static unsigned long mix(unsigned long x) { return x ^ x >> 11; }

static unsigned long kernel(void)
{
	static unsigned long (*volatile const table[4])(unsigned long) = {add, rotate, mix, add};
	unsigned long x = fib(32);
	for (unsigned n = 0; n < 6000000; n++)
		x = table[x & 3](x);
	return x;
}

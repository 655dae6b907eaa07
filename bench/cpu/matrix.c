/* 32-bit multiply and add over three arrays. */
#include "guest.h"

#define N 160
static int a[N][N], b[N][N], c[N][N];

static unsigned long kernel(void)
{
	for (int i = 0; i < N; i++)
		for (int j = 0; j < N; j++) {
			a[i][j] = i * 7 + j;
			b[i][j] = i - j * 3;
		}
	unsigned long sum = 0;
	for (int round = 0; round < 20; round++)
		for (int i = 0; i < N; i++)
			for (int j = 0; j < N; j++) {
				int dot = round;
				for (int k = 0; k < N; k++)
					dot += a[i][k] * b[k][j];
				c[i][j] = dot;
				sum += (unsigned)dot;
			}
	return sum;
}

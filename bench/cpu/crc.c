/* A table look-up that depends on the one before. */
#include "guest.h"

static unsigned table[256];
static unsigned char data[1 << 16];

static unsigned long kernel(void)
{
	for (unsigned n = 0; n < 256; n++) {
		unsigned c = n;
		for (int k = 0; k < 8; k++)
			c = c & 1 ? 0xedb88320u ^ (c >> 1) : c >> 1;
		table[n] = c;
	}
	unsigned long seed = 1;
	for (unsigned n = 0; n < sizeof data; n++) {
		seed = seed * 6364136223846793005UL + 1442695040888963407UL;
		data[n] = seed >> 56;
	}
	unsigned crc = 0;
	for (int round = 0; round < 400; round++)
		for (unsigned n = 0; n < sizeof data; n++)
			crc = table[(crc ^ data[n]) & 255] ^ (crc >> 8);
	return crc;
}

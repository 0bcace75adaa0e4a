/* The generated header compiles as C11, where it asserts the size of every struct itself. */
#include "twinpoll.h"

uint32_t (*const abi_version)(void) = tp_abi_version;

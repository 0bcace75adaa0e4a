/* The kernel's own headers, as bundled with the compiler: what uring_test.zig compares with. */
#include <linux/io_uring.h>

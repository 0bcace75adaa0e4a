/* The header of Debian's liburing-dev, where it is installed: what uring_test.zig compares with. */
#include <linux/time_types.h>
#include "io_uring.h"

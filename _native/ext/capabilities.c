/* capabilities(7) of the calling thread. /proc/thread-self/status says them too, and takes fifty
 * microseconds. */
#include "ext.h"

#include <errno.h>
#include <linux/capability.h>
#include <sys/syscall.h>
#include <unistd.h>

int clib_has_capability(int capability) {
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];
    if (syscall(SYS_capget, &header, data))
        return -errno;
    return (int)(data[capability / 32].effective >> capability % 32 & 1);
}

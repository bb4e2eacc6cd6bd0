#pragma once

#include <stdint.h>

/* shared between the caller, which is suspended, and its child */
struct clib_spawn_call {
    int exe_fd, control_fd, null_fd;
    int32_t err; /* what the child could not do, 0 once it has become the helper */
};

int clib_spawn_child(void *call);

struct clib_socket_call {
    int pidfd, family;
    int32_t socket; /* or -errno */
};

int clib_socket_child(void *call);

/* Sleeps until it is killed, or its caller has ended. */
int clib_hold_child(void *nothing);

/* `made`: an int32_t, a descriptor of a new network namespace whose loopback device is up, or -errno */
int clib_network_child(void *made);

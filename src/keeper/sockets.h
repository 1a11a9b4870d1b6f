// Listening sockets: made, judged, and taken back from a role that outlived keeper and watch.
#pragma once

#include <cstdint>

#include "keeper/parked.h"
#include "wire/slots.h"

namespace thole::keeper {

// Each gives a non-blocking, close-on-exec descriptor that listens, or -1 with errno set.
int listen_at(const char* path, int type);
int listen_on(std::uint32_t address, std::uint16_t port);

// Fills address and port; false where this is no listening TCP socket.
bool describe_listener(int fd, ParkedEntry& entry);

// The process at the other end of a unix socket, as the kernel knows it; 0 where that is not known.
int peer_of(int fd);

// A copy of descriptor 3 of a living role, where that listens at `path`. -1 where it does not, or
// where the kernel does not let us (ptrace rights are asked for).
int take_back(const wire::SlotClaim& role, const char* path);

}  // namespace thole::keeper

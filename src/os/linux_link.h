// One connected SOCK_SEQPACKET socket on the loop.
#pragma once

#include <memory>

#include "env/network.h"
#include "os/fd.h"
#include "os/loop.h"

namespace thole::os {

std::unique_ptr<env::Link> make_link(Loop& loop, FileDescriptor fd);
// A link that tells `closed` in the next turn.
std::unique_ptr<env::Link> make_failed_link(Loop& loop, Error error);

}  // namespace thole::os

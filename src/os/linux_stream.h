// One connected or connecting stream socket on the loop.
#pragma once

#include <memory>

#include "env/network.h"
#include "os/fd.h"
#include "os/loop.h"

namespace thole::os {

enum class StreamStage { Connecting, Open };

std::unique_ptr<env::Stream> make_stream(Loop& loop, FileDescriptor fd, StreamStage stage);
// A stream that tells `closed` in the next turn: what connecting gives where there was not even a
// socket to wait for.
std::unique_ptr<env::Stream> make_failed_stream(Loop& loop, Error error);

}  // namespace thole::os

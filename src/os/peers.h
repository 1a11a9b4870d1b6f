// Who is at the other end of a unix socket.
#pragma once

namespace thole::os {

// Root or our own user, and no instance of ours: these live in cgroups named `slot-<number>`, where
// thole may make cgroups. Not one either whose process has gone, as nobody can tell any more what
// it was. Allocates nothing.
bool may_command(int connected);

}  // namespace thole::os

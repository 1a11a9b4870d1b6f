#include "keeper/open_files.h"

#include <sys/resource.h>

namespace thole::keeper {
namespace {

rlimit before{};
bool is_raised = false;

}  // namespace

void raise_open_files() {
    if (::getrlimit(RLIMIT_NOFILE, &before) != 0) return;
    const rlimit all{before.rlim_max, before.rlim_max};
    is_raised = ::setrlimit(RLIMIT_NOFILE, &all) == 0;
}

void restore_open_files() {
    if (is_raised) ::setrlimit(RLIMIT_NOFILE, &before);
}

}  // namespace thole::keeper

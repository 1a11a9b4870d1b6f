// Processes of a test: whatever is started below it ends with it. Nothing is ever found by name:
// who is orphaned comes to us, so all that we started are our children in the end.
#pragma once

#include <sys/types.h>

#include <functional>
#include <string>
#include <vector>

#include "base/time.h"

namespace thole::contract {

// Runs `test` in a child. However it ends, all that is below it is ended afterwards and its folder
// is deleted. Its exit code.
int run_guarded(const std::function<int()>& test);
// A new one below the folder of the test.
std::string make_folder();
// The exit code, or -1 where it did not end in time.
int run_program(const std::vector<std::string>& arguments, Duration limit);
// SIGKILL for every child, until there is none.
void end_all_children();
// Threads of the process but its first, the oldest first.
std::vector<pid_t> threads_of(pid_t process);

// A thread that does not turn while its process goes on: stopped by ptrace, as by a debugger.
class StoppedThread {
public:
    explicit StoppedThread(pid_t thread);
    ~StoppedThread();
    StoppedThread(const StoppedThread&) = delete;
    bool is_stopped() const { return is_stopped_; }

private:
    pid_t thread_;
    bool is_stopped_ = false;
};

}  // namespace thole::contract

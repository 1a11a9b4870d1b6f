// Owns one descriptor and closes it once.
#pragma once

#include <unistd.h>

#include <utility>

namespace thole::os {

class FileDescriptor {
public:
    FileDescriptor() = default;
    explicit FileDescriptor(int fd) : fd_(fd) {}
    FileDescriptor(FileDescriptor&& other) noexcept : fd_(other.release()) {}
    FileDescriptor& operator=(FileDescriptor&& other) noexcept {
        if (this != &other) reset(other.release());
        return *this;
    }
    ~FileDescriptor() { reset(-1); }

    int get() const { return fd_; }
    bool is_open() const { return fd_ >= 0; }
    int release() { return std::exchange(fd_, -1); }
    void reset(int fd) {
        if (fd_ >= 0 && !LeftOpen::is_on) ::close(fd_);
        fd_ = fd;
    }

    // While one lives nothing is closed. For a process that is a copy of another and shares its
    // table of descriptors: a number in its memory may mean something else by now. Only while it
    // has one thread.
    class LeftOpen {
    public:
        LeftOpen() { is_on = true; }
        ~LeftOpen() { is_on = false; }
        LeftOpen(const LeftOpen&) = delete;
        LeftOpen& operator=(const LeftOpen&) = delete;

    private:
        friend class FileDescriptor;
        static inline bool is_on = false;
    };

private:
    int fd_ = -1;
};

}  // namespace thole::os

// The spawn image: all that a child needs to become its service, in one file
// `images/<slot>.<generation>` on tmpfs. Control writes it; keeper maps it and the child applies it
// to itself. Reading allocates nothing and trusts nothing.
//
//     image   = ImageHeader strings
//     strings = { text NUL }*       in this order: cwd, cgroup, stdout, stderr, argv[argc],
//     envp[envc]
//
// An empty cgroup means none. The executable is argv[0]: a path, absolute or relative to cwd.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace thole::wire {

constexpr std::uint32_t kImageMagic = 0x676d6974;
constexpr std::uint32_t kImageVersion = 1;
constexpr std::uint32_t kImageBytesMax = 1024 * 1024;
constexpr std::uint32_t kImageStringsMax = 8192;
constexpr std::uint32_t kImageFixedStrings = 4;  // cwd, cgroup, stdout, stderr

constexpr std::uint64_t kNoLimit = ~std::uint64_t{0};

struct ImageHeader {
    std::uint32_t magic;
    std::uint32_t version;
    std::uint32_t bytes;  // Of the whole file.
    std::uint32_t
        checksum;  // CRC-32C of all after this header, then of this header with checksum 0.
    std::uint32_t argc;
    std::uint32_t envc;
    std::uint32_t uid;  // Set where keeper is root, else must be keeper's own.
    std::uint32_t gid;
    std::uint64_t open_files_max;  // RLIMIT_NOFILE, kNoLimit leaves it.
    std::uint64_t core_bytes_max;  // RLIMIT_CORE
    std::uint64_t processes_max;   // pids.max of its cgroup, else RLIMIT_NPROC.
    std::int32_t oom_score_adj;
    std::uint32_t reserved;
};
static_assert(sizeof(ImageHeader) == 64);

// What control puts in.
struct ImageSource {
    std::string cwd;
    std::string cgroup;  // Name of its folder below keeper's instances folder, or empty.
    std::string out;     // Path of the spool for stdout, then stderr.
    std::string err;
    std::vector<std::string> argv;
    std::vector<std::string> environment;  // "NAME=value"
    std::uint32_t uid = 0;
    std::uint32_t gid = 0;
    std::uint64_t open_files_max = kNoLimit;
    std::uint64_t core_bytes_max = kNoLimit;
    std::uint64_t processes_max = kNoLimit;
    std::int32_t oom_score_adj = 0;
};

// The file's bytes, or why they would not be an image (a NUL in a text, too large).
Result<std::string> write_image(const ImageSource& source);

// Of the header with its checksum taken as 0, and all that follows it.
std::uint32_t image_checksum(ImageHeader header, std::string_view strings);

// A checked view of an image in memory. `argv` and `envp` fill arrays of the caller, NULL at the
// end.
class ImageView {
public:
    // False where the bytes are no image. Allocates nothing; safe between fork and exec.
    bool open(std::string_view bytes);

    const ImageHeader& header() const { return header_; }
    const char* cwd() const { return cwd_; }
    const char* cgroup() const { return cgroup_; }
    const char* out() const { return out_; }
    const char* err() const { return err_; }
    // Room for argc + 1 and envc + 1 pointers.
    void fill(const char** argv, const char** envp) const;

private:
    ImageHeader header_{};
    const char* cwd_ = nullptr;
    const char* cgroup_ = nullptr;
    const char* out_ = nullptr;
    const char* err_ = nullptr;
    const char* rest_ = nullptr;
};

}  // namespace thole::wire

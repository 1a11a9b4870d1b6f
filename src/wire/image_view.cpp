// Apart from image.cpp: keeper links this half, which allocates nothing.
#include <cstring>

#include "base/bytes.h"
#include "wire/image.h"

namespace thole::wire {
std::uint32_t image_checksum(ImageHeader header, std::string_view strings) {
    header.checksum = 0;
    return crc32c(std::string_view(reinterpret_cast<const char*>(&header), sizeof(header)),
                  crc32c(strings));
}

bool ImageView::open(std::string_view bytes) {
    if (bytes.size() < sizeof(ImageHeader) || bytes.size() > kImageBytesMax) return false;
    std::memcpy(&header_, bytes.data(), sizeof(header_));
    const std::string_view strings = bytes.substr(sizeof(ImageHeader));
    if (header_.magic != kImageMagic || header_.version != kImageVersion) return false;
    if (header_.bytes != bytes.size() || header_.argc == 0) return false;
    if (header_.argc > kImageStringsMax || header_.envc > kImageStringsMax) return false;
    const std::uint32_t wanted = kImageFixedStrings + header_.argc + header_.envc;
    if (wanted > kImageStringsMax || strings.empty() || strings.back() != '\0') return false;
    if (header_.checksum != image_checksum(header_, strings)) return false;
    std::uint32_t found = 0;
    for (const char c : strings) found += c == '\0' ? 1 : 0;
    if (found != wanted) return false;
    const auto next = [](const char* text) { return text + std::strlen(text) + 1; };
    cwd_ = strings.data();
    cgroup_ = next(cwd_);
    out_ = next(cgroup_);
    err_ = next(out_);
    rest_ = next(err_);
    return true;
}

void ImageView::fill(const char** argv, const char** envp) const {
    const char* text = rest_;
    for (std::uint32_t i = 0; i < header_.argc; ++i, text += std::strlen(text) + 1) argv[i] = text;
    argv[header_.argc] = nullptr;
    for (std::uint32_t i = 0; i < header_.envc; ++i, text += std::strlen(text) + 1) envp[i] = text;
    envp[header_.envc] = nullptr;
}

}  // namespace thole::wire

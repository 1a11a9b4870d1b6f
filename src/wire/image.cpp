#include "wire/image.h"

#include <cstring>

#include "base/bytes.h"

namespace thole::wire {
namespace {

constexpr std::uint32_t kFixedStrings = 4;

std::uint32_t checksum_of(ImageHeader header, std::string_view strings) {
    header.checksum = 0;
    return crc32c(std::string_view(reinterpret_cast<const char*>(&header), sizeof(header)),
                  crc32c(strings));
}

}  // namespace

Result<std::string> write_image(const ImageSource& source) {
    std::string strings;
    const auto add = [&strings](std::string_view text) {
        strings.append(text);
        strings.push_back('\0');
        return text.find('\0') == std::string_view::npos;
    };
    bool clean = add(source.cwd) && add(source.cgroup) && add(source.out) && add(source.err);
    for (const std::string& text : source.argv) clean = add(text) && clean;
    for (const std::string& text : source.environment) clean = add(text) && clean;
    if (!clean) return invalid("a command or environment value holds a NUL byte");
    if (source.argv.empty()) return invalid("the command is empty");
    if (source.argv.size() + source.environment.size() + kFixedStrings > kImageStringsMax) {
        return invalid("more than 8 000 arguments and environment variables");
    }
    if (strings.size() + sizeof(ImageHeader) > kImageBytesMax) {
        return invalid("arguments and environment are larger than 1 MiB");
    }
    ImageHeader header{};
    header.magic = kImageMagic;
    header.version = kImageVersion;
    header.bytes = static_cast<std::uint32_t>(sizeof(header) + strings.size());
    header.argc = static_cast<std::uint32_t>(source.argv.size());
    header.envc = static_cast<std::uint32_t>(source.environment.size());
    header.uid = source.uid;
    header.gid = source.gid;
    header.open_files_max = source.open_files_max;
    header.core_bytes_max = source.core_bytes_max;
    header.processes_max = source.processes_max;
    header.oom_score_adj = source.oom_score_adj;
    header.checksum = checksum_of(header, strings);
    return std::string(reinterpret_cast<const char*>(&header), sizeof(header)) + strings;
}

bool ImageView::open(std::string_view bytes) {
    if (bytes.size() < sizeof(ImageHeader) || bytes.size() > kImageBytesMax) return false;
    std::memcpy(&header_, bytes.data(), sizeof(header_));
    const std::string_view strings = bytes.substr(sizeof(ImageHeader));
    if (header_.magic != kImageMagic || header_.version != kImageVersion) return false;
    if (header_.bytes != bytes.size() || header_.argc == 0) return false;
    if (header_.argc > kImageStringsMax || header_.envc > kImageStringsMax) return false;
    const std::uint32_t wanted = kFixedStrings + header_.argc + header_.envc;
    if (wanted > kImageStringsMax || strings.empty() || strings.back() != '\0') return false;
    if (header_.checksum != checksum_of(header_, strings)) return false;
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

#include "wire/image.h"

#include <cstring>

#include "base/bytes.h"

namespace thole::wire {
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
    if (source.argv.size() + source.environment.size() + kImageFixedStrings > kImageStringsMax) {
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
    header.checksum = image_checksum(header, strings);
    return std::string(reinterpret_cast<const char*>(&header), sizeof(header)) + strings;
}

}  // namespace thole::wire

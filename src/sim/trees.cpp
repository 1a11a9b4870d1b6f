#include "sim/trees.h"

#include <algorithm>
#include <set>

#include "base/bytes.h"

namespace thole::sim {
namespace {

constexpr std::size_t kFileBytesMax = 256 * 1024 * 1024;

Status check_name(const std::string& name) {
    if (name.empty() || name.front() == '/' || ("/" + name + "/").find("/../") != std::string::npos)
        return invalid("the name of a file leads out of its folder: " + name);
    return success();
}

std::vector<std::string> sorted(std::vector<std::string> names) {
    std::sort(names.begin(), names.end());
    names.erase(std::unique(names.begin(), names.end()), names.end());
    return names;
}

std::string folder_above(const std::string& path) {
    const std::size_t slash = path.rfind('/');
    return slash == 0 || slash == std::string::npos ? "/" : path.substr(0, slash);
}

}  // namespace

Result<std::string> SimTrees::digest(const std::string& folder,
                                     const std::vector<std::string>& files,
                                     std::string_view extra) {
    ByteWriter all;
    all.text(extra);
    for (const std::string& name : sorted(files)) {
        TRY(check_name(name));
        Result<std::string> content = files_.read(folder + "/" + name, kFileBytesMax);
        if (!content.ok() && content.error().code == Code::NotFound) continue;
        all.text(name);
        if (!content.ok()) return content.error();
        all.text(*content);
    }
    ByteWriter hash;
    for (std::uint64_t part = 0; part < 4; ++part) hash.u64(fnv1a(all.bytes(), part));
    return to_hex(hash.bytes());
}

Status SimTrees::copy_file(const std::string& from, const std::string& to) {
    const Result<std::string> content = files_.read(from, kFileBytesMax);
    if (!content.ok() && content.error().code == Code::NotFound) return success();
    if (!content.ok()) return content.error();
    TRY(files_.make_folder(folder_above(to), 0755));
    const std::unique_ptr<env::File> file = TRY(files_.open(to, env::OpenMode::Create));
    TRY(file->write_at(0, *content));
    return file->sync();
}

Status SimTrees::copy(const env::CopyRequest& request) {
    for (const std::string& name : request.files) TRY(check_name(name));
    TRY(remove(request.to));
    TRY(files_.make_folder(request.to, 0755));
    std::set<std::string> folders = {request.to, folder_above(request.to)};
    for (const std::string& name : sorted(request.files)) {
        const std::string to = request.to + "/" + name;
        TRY(copy_file(request.from + "/" + name, to));
        for (std::string above = folder_above(to); above.size() > request.to.size();
             above = folder_above(above)) {
            if (files_.exists(above)) folders.insert(above);
        }
    }
    for (const std::string& folder : folders) TRY(files_.sync_folder(folder));
    return success();
}

Status SimTrees::make_owned(const std::string& path, env::Owner, std::uint32_t mode) {
    return files_.make_folder(path, mode);
}

Status SimTrees::hand_over(const std::string& path, env::Owner owner, std::uint32_t mode) {
    return make_owned(path, owner, mode);
}

Result<bool> SimTrees::is_folder(const std::string& path) {
    const std::vector<env::FileInfo> beside = TRY(files_.list(folder_above(path)));
    const std::string name = path.substr(path.rfind('/') + 1);
    for (const env::FileInfo& info : beside) {
        if (info.name == name) return info.is_folder;
    }
    return not_found("open " + path + ": No such file or directory");
}

Status SimTrees::remove(const std::string& path) {
    if (!files_.exists(path)) return success();
    const bool has_more = TRY(is_folder(path));
    if (!has_more) return files_.remove(path);
    const std::vector<env::FileInfo> below = TRY(files_.list(path));
    for (const env::FileInfo& info : below) TRY(remove(path + "/" + info.name));
    return files_.remove(path);
}

Status SimTrees::sync(const std::string& path) {
    const std::vector<env::FileInfo> below = TRY(files_.list(path));
    for (const env::FileInfo& info : below) {
        const std::string inner = path + "/" + info.name;
        if (info.is_folder) {
            TRY(sync(inner));
            continue;
        }
        const std::unique_ptr<env::File> file = TRY(files_.open(inner, env::OpenMode::Read));
        TRY(file->sync());
    }
    return files_.sync_folder(path);
}

Result<std::uint64_t> SimTrees::bytes_of(const std::string& path) {
    const std::vector<env::FileInfo> below = TRY(files_.list(path));
    std::uint64_t bytes = 0;
    for (const env::FileInfo& info : below) {
        std::uint64_t here = info.size_bytes;
        if (info.is_folder) here = TRY(bytes_of(path + "/" + info.name));
        bytes += here;
    }
    return bytes;
}

}  // namespace thole::sim

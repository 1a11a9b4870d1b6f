#include "edge/access_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstring>

#include "model/defaults.h"

namespace thole::edge {
namespace {

// One line. What does not fit is left out; kAccessLineBytes has room for all there can be.
class Line {
public:
    explicit Line(std::span<char, kAccessLineBytes> to)
        : begin_(to.data()), end_(begin_ + to.size()), at_(begin_) {}

    Line& text(std::string_view more) {
        const std::size_t size = std::min(more.size(), static_cast<std::size_t>(end_ - at_));
        std::memcpy(at_, more.data(), size);
        at_ += size;
        return *this;
    }
    template <typename Number>
    Line& number(Number value) {
        const auto [rest, error] = std::to_chars(at_, end_, value);
        if (error == std::errc{}) at_ = rest;
        return *this;
    }
    template <typename Number>
    Line& member(std::string_view key, Number value) {
        return text(",\"").text(key).text("\":").number(value);
    }
    Line& hexadecimal(std::uint64_t value) {
        for (int shift = 60; shift >= 0; shift -= 4)
            text({&"0123456789abcdef"[value >> shift & 15], 1});
        return *this;
    }
    // What is no plain character is written as if each byte were one of Latin-1.
    Line& quoted(std::string_view more) {
        text("\"");
        for (const char c : more) {
            const auto byte = static_cast<unsigned char>(c);
            const bool is_plain = byte >= 0x20 && byte < 0x7f && c != '"' && c != '\\';
            if (is_plain) {
                text({&c, 1});
            } else {
                text("\\u00").text({&"0123456789abcdef"[byte >> 4], 1});
                text({&"0123456789abcdef"[byte & 15], 1});
            }
        }
        return text("\"");
    }
    std::size_t size() const { return static_cast<std::size_t>(at_ - begin_); }

private:
    char* begin_;
    char* end_;
    char* at_;
};

template <std::size_t kSize>
std::string_view text_in(const char (&bytes)[kSize]) {
    return {bytes, ::strnlen(bytes, kSize)};
}

template <typename Value, std::size_t kSize>
std::string_view name_in(const std::string_view (&names)[kSize], Value value) {
    const auto place = static_cast<std::size_t>(value);
    return place < kSize ? names[place] : std::string_view("unknown");
}

void write_tries(Line& line, const wire::RequestRecord& record) {
    line.member("tries", std::uint32_t{record.tries}).text(",\"ended_tries\":[");
    const std::uint32_t kept = std::min<std::uint32_t>(record.tries, wire::kTriesKept);
    for (std::uint32_t i = 0; i < kept; ++i) {
        const wire::RequestTry& each = record.ended_tries[i];
        line.text(i == 0 ? "{\"slot\":" : ",{\"slot\":").number(each.slot);
        line.member("generation", each.generation).member("took_us", each.took_us);
        line.text(",\"end\":").quoted(name_in(wire::kTryEndNames, each.end)).text("}");
    }
    line.text("]");
}

std::int64_t clock_ns(clockid_t clock) {
    timespec now{};
    ::clock_gettime(clock, &now);
    return std::int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

}  // namespace

Worth worth_of(const wire::RequestRecord& record) {
    const auto outcome = static_cast<wire::Outcome>(record.outcome);
    if (outcome > wire::Outcome::Redirect) return Worth::Always;
    const bool may_last = record.phase == wire::RequestPhase::Tunnel ||
                          (record.flags & wire::kRequestEventStream) != 0;
    if (!may_last && record.ended - record.begun > model::kAccessSlow.count()) return Worth::Always;
    // Ids that come from outside are replaced, so that nobody chooses; the constant spreads those
    // that a caller inside made up.
    const std::uint64_t spread = (record.id.high ^ record.id.low) * 0x9e3779b97f4a7c15;
    return (spread >> 32) % model::kAccessSampleOneIn == 0 ? Worth::Sample : Worth::None;
}

std::size_t write_line(const wire::RequestRecord& record, std::int64_t wall_ns,
                       std::span<char, kAccessLineBytes> to) {
    Line line(to);
    line.text("{\"id\":\"").hexadecimal(record.id.high).hexadecimal(record.id.low).text("\"");
    line.member("time_ms", (wall_ns + record.begun) / 1'000'000);
    line.member("begun_ns", record.begun).member("ended_ns", record.ended);
    line.text(",\"outcome\":").quoted(name_in(wire::kOutcomeNames, record.outcome));
    line.member("status", record.status);
    line.text(",\"phase\":").quoted(name_in(wire::kPhaseNames, record.phase));
    std::string_view target = text_in(record.target);
    target = target.substr(0, target.find('?'));
    line.text(",\"request\":").quoted(target).text(",\"why\":").quoted(text_in(record.why));
    line.member("listener", record.listener).member("service", record.service);
    line.member("release", record.release).member("slot", record.at.slot);
    line.member("generation", record.at.generation).member("address", record.address);
    line.member("head_us", record.head_us).member("held_us", record.held_us);
    line.member("attached_us", record.attached_us).member("connect_us", record.connect_us);
    line.member("answer_us", record.answer_us).member("considered", record.considered);
    line.member("bytes_in", record.bytes_in).member("bytes_out", record.bytes_out);
    line.member("attempts", std::uint32_t{record.attempts}).member("flags", record.flags);
    write_tries(line, record);
    return line.text("}\n").size();
}

AccessFile::AccessFile(const std::string& folder)
    : path_(folder + "/access.log"), older_(folder + "/access.log.1") {}

// Not for reading: the last reader of a pipe would be ourselves, and its end unseen.
bool AccessFile::open() {
    fd_ = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
    struct stat found {};
    if (fd_ < 0 || ::fstat(fd_, &found) != 0) return false;
    size_ = S_ISREG(found.st_mode) ? static_cast<std::uint64_t>(found.st_size) : 0;
    return true;
}

// Whoever died in the middle of a line left one without an end.
bool AccessFile::mend_last_line() {
    if (size_ == 0) return true;
    const int fd = ::open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0) return false;
    char last = '\n';
    const ssize_t got = ::pread(fd, &last, 1, static_cast<off_t>(size_ - 1));
    ::close(fd);
    return got == 1 && (last == '\n' || (add("\n") && write_out()));
}

void AccessFile::close() {
    if (fd_ >= 0) ::close(fd_);
    fd_ = -1;
}

// By a name: whoever reads the older one goes on with it.
bool AccessFile::rotate() {
    close();
    return ::rename(path_.c_str(), older_.c_str()) == 0 && open();
}

// False where the disk takes no more: then only whole lines stand there.
bool AccessFile::write_out() {
    std::size_t written = 0;
    while (written < used_) {
        const ssize_t more = ::write(fd_, text_ + written, used_ - written);
        if (more < 0 && errno == EINTR) continue;
        if (more <= 0) break;
        written += static_cast<std::size_t>(more);
    }
    const bool is_whole = written == used_;
    while (written > 0 && text_[written - 1] != '\n') --written;
    if (!is_whole && ::ftruncate(fd_, static_cast<off_t>(size_ + written)) != 0) written = 0;
    lines_ += static_cast<std::size_t>(std::count(text_, text_ + written, '\n'));
    size_ += written;
    used_ = 0;
    return is_whole;
}

bool AccessFile::add(std::string_view line) {
    if (used_ + line.size() > sizeof(text_) && !write_out()) return false;
    if (size_ + used_ + line.size() > model::kAccessFileBytes && size_ + used_ > 0) {
        if (!write_out() || !rotate()) return false;
    }
    std::memcpy(text_ + used_, line.data(), line.size());
    used_ += line.size();
    return true;
}

// On a line of its own.
bool AccessFile::tell_dropped(std::uint64_t dropped_ever) {
    if (dropped_told_ == dropped_ever) return true;
    char line[64];
    const int size = std::snprintf(line, sizeof(line), "{\"dropped\":%llu}\n",
                                   static_cast<unsigned long long>(dropped_ever - dropped_told_));
    if (!add({line, static_cast<std::size_t>(size)}) || !write_out()) return false;
    dropped_told_ = dropped_ever;
    return true;
}

std::size_t AccessFile::append(std::span<const wire::RequestRecord> records,
                               std::uint64_t dropped_ever) {
    const std::int64_t wall_ns = clock_ns(CLOCK_REALTIME) - clock_ns(CLOCK_BOOTTIME);
    used_ = 0;
    bool goes_on = open();
    if (!has_begun_) {
        goes_on = goes_on && mend_last_line();
        dropped_told_ = dropped_ever;
        has_begun_ = true;
    }
    goes_on = goes_on && tell_dropped(dropped_ever);
    lines_ = 0;
    char line[kAccessLineBytes];
    for (const Worth worth : {Worth::Always, Worth::Sample}) {
        for (const wire::RequestRecord& record : records) {
            if (!goes_on || worth_of(record) != worth) continue;
            goes_on = add({line, write_line(record, wall_ns, line)});
        }
    }
    if (goes_on) write_out();
    close();
    return lines_;
}

}  // namespace thole::edge

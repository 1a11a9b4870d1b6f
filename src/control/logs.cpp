#include "control/logs.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "base/json.h"

namespace thole::control {
namespace {

constexpr std::size_t kBlockBytes = 64 * 1024;
constexpr std::size_t kMarksMax = 4096;
constexpr int kAgePerGap = 128;
constexpr Duration kMarkEvery = std::chrono::seconds(1);

// Up to the next NUL or line end.
std::string_view plain_part(std::string_view bytes) {
    const std::string_view line = bytes.substr(0, bytes.find('\n'));
    return line.substr(0, line.find('\0'));
}

// Where to cut a text that is too long: not inside a character of UTF-8.
std::size_t cut_before(std::string_view text, std::size_t most) {
    std::size_t end = most;
    while (end > most - 3 && (static_cast<unsigned char>(text[end]) & 0xc0U) == 0x80U) --end;
    const bool is_inside = (static_cast<unsigned char>(text[end]) & 0xc0U) == 0x80U;
    return is_inside ? most : end;  // No UTF-8 anyway.
}

// A long line comes in pieces, each of which counts; what is missing between lines does not.
void keep_last(std::vector<LogLine>& lines, std::size_t lines_max) {
    std::size_t surplus = lines.size();
    for (std::size_t texts = 0; surplus > 0; --surplus)
        if (lines[surplus - 1].is_text() && ++texts > lines_max) break;
    lines.erase(lines.begin(), lines.begin() + static_cast<std::ptrdiff_t>(surplus));
}

}  // namespace

std::size_t LineSplitter::take(std::string_view bytes, std::vector<LogLine>& lines) {
    const std::size_t size = bytes.size();
    while (!bytes.empty() && lines.size() < kLogLinesMax) {
        if (bytes.front() == '\0') {
            const std::size_t count = std::min(bytes.find_first_not_of('\0'), bytes.size());
            add_nuls(count, lines);
            bytes.remove_prefix(count);
            continue;
        }
        in_hole_ = false;
        tell_lost(lines);
        const std::string_view part = plain_part(bytes);
        add(part, lines);
        bytes.remove_prefix(part.size());
        if (bytes.empty() || bytes.front() == '\0') continue;
        end_line(lines);
        bytes.remove_prefix(1);
    }
    return size - bytes.size();
}

void LineSplitter::add_nuls(std::uint64_t count, std::vector<LogLine>& lines) {
    nuls_ += count;
    if (!in_hole_ && nuls_ < kLogHoleBytesMin) return;
    const std::uint64_t hole = std::exchange(nuls_, 0);
    if (!in_hole_) cut(lines);
    in_hole_ = true;
    was_cut_ = false;  // What comes is another line.
    lost_ += hole;
}

void LineSplitter::add(std::string_view text, std::vector<LogLine>& lines) {
    line_.append(std::exchange(nuls_, 0), '\0');
    while (line_.size() + text.size() > kLogLineBytesMax) {
        // One piece at a time, so that line_ stays small whatever comes.
        const std::size_t room = kLogLineBytesMax + 1 - std::min(line_.size(), kLogLineBytesMax);
        line_.append(text.substr(0, room));
        text.remove_prefix(std::min(room, text.size()));
        const std::size_t end = cut_before(line_, kLogLineBytesMax);
        lines.push_back({.text = line_.substr(0, end)});
        line_.erase(0, end);
        was_cut_ = true;
    }
    line_.append(text);
}

void LineSplitter::end_line(std::vector<LogLine>& lines) {
    line_.append(std::exchange(nuls_, 0), '\0');
    const bool is_rest_of_nothing = std::exchange(was_cut_, false) && line_.empty();
    if (!is_rest_of_nothing) lines.push_back({.text = std::exchange(line_, {})});
}

void LineSplitter::cut(std::vector<LogLine>& lines) {
    line_.append(std::exchange(nuls_, 0), '\0');
    if (line_.empty()) return;
    lines.push_back({.text = std::exchange(line_, {})});
    was_cut_ = true;
}

void LineSplitter::lose(std::uint64_t bytes, std::vector<LogLine>& lines) {
    cut(lines);
    was_cut_ = in_hole_ = false;
    lost_ += bytes;
    tell_lost(lines);
}

void LineSplitter::tell_lost(std::vector<LogLine>& lines) {
    if (lost_ > 0) lines.push_back({.lost_bytes = std::exchange(lost_, 0)});
}

SpoolTail::SpoolTail(env::Files& files, const SpoolSource& source, LogStream stream)
    : files_(files),
      path_(stream == LogStream::Out ? source.path_out : source.path_err),
      front_(source.dropped[static_cast<std::size_t>(stream)]) {}

void SpoolTail::start_at(std::uint64_t offset) {
    CHECK(!has_started_);
    cursor_ = offset;
}

Result<std::vector<LogLine>> SpoolTail::last_lines(std::size_t lines_max) {
    CHECK(!has_started_);
    std::vector<LogLine> lines;
    if (!TRY(open())) return lines;
    lines_max = std::min(lines_max, kLogLinesMax);
    cursor_ = TRY(start_of_last(lines_max));
    if (front_ > 0 && cursor_ == front_) splitter_.lose(front_, lines);
    const std::uint64_t end = size_;
    std::vector<LogLine> more;
    do {
        more.clear();
        const std::uint64_t before = cursor_;
        TRY(read_to(end, more));
        std::move(more.begin(), more.end(), std::back_inserter(lines));
        keep_last(lines, lines_max);
        if (cursor_ == before) break;  // Truncated since.
    } while (cursor_ < end);
    return lines;
}

// Looks back block by block for one line end more than there are lines to show: the last one ends
// with one, and the first begins behind one. What stands behind the last is no line yet.
Result<std::uint64_t> SpoolTail::start_of_last(std::size_t lines_max) {
    const std::uint64_t back = size_ - std::min(size_, kLogTailBytesMax);
    const std::uint64_t lowest = std::max(back, front_);
    std::uint64_t first_start = 0;  // Behind the first line end that is in reach.
    std::size_t ends = 0;
    for (std::uint64_t at = size_; at > lowest;) {
        const std::size_t want = std::min<std::uint64_t>(kBlockBytes, at - lowest);
        at -= want;
        const std::size_t got = TRY(file_->read_at(at, block_.get(), want));
        const std::string_view block(block_.get(), got);
        for (std::size_t place = block.rfind('\n'); place != std::string_view::npos;
             place = place == 0 ? std::string_view::npos : block.rfind('\n', place - 1)) {
            first_start = at + place + 1;
            if (++ends > lines_max) return first_start;
        }
    }
    // The first one in reach is a part of a longer one; where there is no other, better than none.
    const bool is_part = lowest > front_ && ends > 1;
    return is_part ? first_start : lowest;
}

Result<std::vector<LogLine>> SpoolTail::read_new(std::size_t limit_bytes, Time now) {
    std::vector<LogLine> lines;
    if (!TRY(open())) return lines;
    const std::uint64_t size = TRY(file_->size());
    if (size < cursor_) begin_again(size, lines);
    size_ = size;
    catch_up(lines);
    const std::uint64_t end = std::min<std::uint64_t>(size_, cursor_ + limit_bytes);
    TRY(read_to(end, lines));
    splitter_.tell_lost(lines);
    cut_what_stands(now, lines);
    return lines;
}

std::vector<LogLine> SpoolTail::take_unfinished() {
    std::vector<LogLine> lines;
    splitter_.tell_lost(lines);
    splitter_.cut(lines);
    return lines;
}

// False: it is not there yet.
Result<bool> SpoolTail::open() {
    if (file_ != nullptr) return true;
    Result<std::unique_ptr<env::File>> file = files_.open(path_, env::OpenMode::Read);
    if (!file.ok() && file.error().code == Code::NotFound) return false;
    file_ = TRY(std::move(file));
    block_ = std::make_unique<char[]>(kBlockBytes);
    size_ = TRY(file_->size());
    front_ = TRY(front_of(front_));
    old_end_ = size_;
    has_started_ = true;
    return true;
}

// keeper counts all that it ever dropped: where the service truncated the file since, nothing at
// its front may be gone. So the count is believed only where the bytes before it are.
Result<std::uint64_t> SpoolTail::front_of(std::uint64_t dropped) {
    if (dropped == 0 || dropped > size_) return std::uint64_t{0};
    const std::uint64_t looked_at = std::min(dropped, kLogHoleBytesMin);
    const std::size_t got = TRY(file_->read_at(dropped - looked_at, block_.get(), looked_at));
    const std::string_view bytes(block_.get(), got);
    return bytes.find_first_not_of('\0') == std::string_view::npos ? dropped : 0;
}

void SpoolTail::begin_again(std::uint64_t size, std::vector<LogLine>& lines) {
    splitter_.tell_lost(lines);
    splitter_.cut(lines);
    splitter_ = LineSplitter();
    lines.push_back({.lost_bytes = size_ - std::min(size_, cursor_), .was_truncated = true});
    cursor_ = front_ = 0;
    old_end_ = 0;
    size_ = size;
}

// Over what is gone, and over what a reader who is too slow will not get.
void SpoolTail::catch_up(std::vector<LogLine>& lines) {
    std::uint64_t target = std::max(cursor_, front_);
    if (size_ > kLogBehindBytesMax + std::max(target, old_end_)) target = size_ - kLogJumpBytes;
    if (target == cursor_) return;
    splitter_.lose(target - cursor_, lines);
    cursor_ = target;
}

Status SpoolTail::read_to(std::uint64_t end, std::vector<LogLine>& lines) {
    while (cursor_ < end && lines.size() < kLogLinesMax) {
        const std::size_t want = std::min<std::uint64_t>(kBlockBytes, end - cursor_);
        const std::size_t got = TRY(file_->read_at(cursor_, block_.get(), want));
        const std::size_t taken = splitter_.take({block_.get(), got}, lines);
        cursor_ += taken;
        if (got < want) break;  // Truncated since; the next call finds out.
    }
    return success();
}

void SpoolTail::cut_what_stands(Time now, std::vector<LogLine>& lines) {
    if (!splitter_.has_unfinished() || is_behind()) {
        stands_unfinished_ = false;
        return;
    }
    // Any line that ended since makes what stands now a new one.
    if (!stands_unfinished_ || !lines.empty()) unfinished_since_ = now;
    stands_unfinished_ = true;
    if (now - unfinished_since_ < kLogUnfinishedMax) return;
    splitter_.cut(lines);
    stands_unfinished_ = false;
}

std::string log_line_json(const SpoolSource& source, LogStream stream, const LogLine& line) {
    JsonWriter json;
    json.begin_object()
        .member("service", source.service)
        .member("instance", source.instance)
        .member("stream", stream == LogStream::Out ? "out" : "err");
    if (line.is_text()) {
        json.member("text", line.text);
    } else {
        json.member("lost_bytes", line.lost_bytes);
        if (line.was_truncated) json.member("truncated", true);
    }
    json.end_object();
    return json.take();
}

void SpoolMarks::observe(Time now, std::uint64_t size) {
    // A shorter file began again: of its offsets nothing is known yet.
    if (!marks_.empty() && size < marks_.back().size) {
        marks_.clear();
        marks_.push_back({now, 0});
        return;
    }
    if (!marks_.empty() && (size == marks_.back().size || now - marks_.back().at < kMarkEvery))
        return;
    if (marks_.size() == kMarksMax) thin_out(now);
    marks_.push_back({now, size});
}

// Marks stand as far apart as the hundredth part of their age: 4096 are enough for years, where
// to halve the oldest again and again would leave none of yesterday.
void SpoolMarks::thin_out(Time now) {
    std::size_t kept = 1;
    for (std::size_t i = 1; i + 1 < marks_.size(); ++i) {
        const Time next = marks_[i + 1].at;
        if (next - marks_[kept - 1].at > (now - next) / kAgePerGap) marks_[kept++] = marks_[i];
    }
    marks_[kept++] = marks_.back();
    marks_.resize(kept);
    if (kept == kMarksMax) marks_.erase(marks_.begin());
}

std::uint64_t SpoolMarks::offset_at(Time since) const {
    const auto after = std::upper_bound(marks_.begin(), marks_.end(), since,
                                        [](Time time, const Mark& mark) { return time < mark.at; });
    return after == marks_.begin() ? 0 : std::prev(after)->size;
}

}  // namespace thole::control

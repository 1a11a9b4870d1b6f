// Reads what instances said: the spools that keeper keeps (a sparse file per slot and stream whose
// oldest bytes are punched out), line by line, for `thole logs`. A line is bytes, not text:
// escaping is for whoever writes it out. Memory stays bounded however quickly and whatever is
// written, and what a reader does not get is counted. Blocks on the disk: only in Background.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/time.h"
#include "env/files.h"

namespace thole::control {

constexpr std::size_t kLogLineBytesMax = 16 * 1024;            // A longer one comes in pieces.
constexpr std::size_t kLogLinesMax = 4096;                     // Of one call.
constexpr std::uint64_t kLogTailBytesMax = 1024 * 1024;        // How far back last_lines() looks.
constexpr std::uint64_t kLogBehindBytesMax = 8 * 1024 * 1024;  // A reader further behind jumps,
constexpr std::uint64_t kLogJumpBytes = 4 * 1024 * 1024;       // to so far before the end.
constexpr std::uint64_t kLogHoleBytesMin = 4096;  // So many NULs are a hole; fewer, what was said.
constexpr Duration kLogUnfinishedMax = std::chrono::seconds(1);  // Then shown as it is: a prompt.

enum class LogStream : std::uint8_t { Out = 0, Err = 1 };

struct SpoolSource {
    std::string service;
    std::string instance;
    std::string path_out;
    std::string path_err;
    std::uint64_t dropped[2] = {};  // SlotState.spool_dropped_bytes.
};

// A line, or, where either of the last two is set, what is missing between two lines.
struct LogLine {
    std::string text = {};  // Without its line end.
    std::uint64_t lost_bytes = 0;
    bool was_truncated = false;  // The service emptied the file; how much of it was unread is known
                                 // only as far as it was seen.
    bool is_text() const { return lost_bytes == 0 && !was_truncated; }
    bool operator==(const LogLine&) const = default;
};

// Bytes into lines. Pure.
class LineSplitter {
public:
    // Returns how many bytes it took: fewer than all where `lines` holds kLogLinesMax.
    std::size_t take(std::string_view bytes, std::vector<LogLine>& lines);
    // What was not finished, as a line; its rest will be another.
    void cut(std::vector<LogLine>& lines);
    // So many bytes will not come; what was not finished is cut.
    void lose(std::uint64_t bytes, std::vector<LogLine>& lines);
    // Says so where bytes in a hole were met.
    void tell_lost(std::vector<LogLine>& lines);
    bool has_unfinished() const { return !line_.empty() || nuls_ > 0; }

private:
    void add(std::string_view text, std::vector<LogLine>& lines);
    void add_nuls(std::uint64_t count, std::vector<LogLine>& lines);
    void end_line(std::vector<LogLine>& lines);

    std::string line_;
    std::uint64_t nuls_ = 0;  // At the end of line_, and not yet known to be no hole.
    std::uint64_t lost_ = 0;  // Not told yet.
    bool in_hole_ = false;
    bool was_cut_ = false;  // The beginning of this line was given already.
};

// Follows one stream of one slot.
class SpoolTail {
public:
    SpoolTail(env::Files& files, const SpoolSource& source, LogStream stream);

    // The last lines that are there, at most kLogLinesMax; read_new() goes on behind them. A file
    // that is not there yet has none.
    Result<std::vector<LogLine>> last_lines(std::size_t lines_max);
    // read_new() begins at this offset and gives all from there.
    void start_at(std::uint64_t offset);
    // What came since, about limit_bytes of it. A last line without its end comes once it has stood
    // for kLogUnfinishedMax.
    Result<std::vector<LogLine>> read_new(std::size_t limit_bytes, Time now);
    // There was more when it was last looked at: read_new() again, at once.
    bool is_behind() const { return cursor_ < size_; }
    // For who does not wait for the rest of the line.
    std::vector<LogLine> take_unfinished();

private:
    Result<bool> open();
    Result<std::uint64_t> front_of(std::uint64_t dropped);
    Result<std::uint64_t> start_of_last(std::size_t lines_max);
    Status read_to(std::uint64_t end, std::vector<LogLine>& lines);
    void begin_again(std::uint64_t size, std::vector<LogLine>& lines);
    void catch_up(std::vector<LogLine>& lines);
    void cut_what_stands(Time now, std::vector<LogLine>& lines);

    env::Files& files_;
    std::string path_;
    std::uint64_t front_;  // Bytes at the front that are gone: as told, once opened as found.
    std::unique_ptr<env::File> file_;
    LineSplitter splitter_;
    std::uint64_t cursor_ = 0;
    std::uint64_t size_ = 0;     // When it was last looked at.
    std::uint64_t old_end_ = 0;  // What is before was there at the start: nobody is behind there.
    std::unique_ptr<char[]> block_;
    Time unfinished_since_{};
    bool stands_unfinished_ = false;
    bool has_started_ = false;
};

// One line of the API's answer, without its line end.
std::string log_line_json(const SpoolSource& source, LogStream stream, const LogLine& line);

// Which offset of a spool was its end at which time, for `--since`.
class SpoolMarks {
public:
    // Call it at least once a second, with the file's size.
    void observe(Time now, std::uint64_t size);
    // What was written at `since` or later stands at or behind it, and little more: that of a
    // second before, and for times long ago that of a hundredth part of it. 0: nothing is known.
    std::uint64_t offset_at(Time since) const;
    std::size_t count() const { return marks_.size(); }

private:
    struct Mark {
        Time at;
        std::uint64_t size;
    };
    void thin_out(Time now);
    std::vector<Mark> marks_;  // At most 4096, in the order of time; sizes only grow.
};

}  // namespace thole::control

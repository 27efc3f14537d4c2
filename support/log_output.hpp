// SPDX-License-Identifier: Apache-2.0
// A log that never makes its writers wait: what nobody reads (a full pipe, a stopped terminal) waits in a queue, which
// a thread of its own writes out, and what does not fit into that is counted and told later.
//
//   any thread ──put──▶ queue ──thread──▶ descriptor
//                         │ full: left out, until half of it is free, then "N lines of this log were lost"
//
// Without lines there is no thread, and no memory is touched. The guest's own text is bounded before it comes here
// (vmm/text_limit.hpp), well below what the queue holds: a reader that reads loses nothing.
#pragma once

#include <chrono>
#include <cstddef>
#include <memory>
#include <string_view>

namespace parapet {

class LogOutput {
public:
    static constexpr std::size_t usual_capacity = 2 << 20;
    /// Where nobody reads, a flush ends when nothing was taken for so long.
    static constexpr std::chrono::seconds usual_patience{3};

    /// `descriptor` stays open while anything is in the queue. A write to it that fails for good (no reader is left)
    /// throws away all that comes.
    explicit LogOutput(int descriptor, std::size_t capacity = usual_capacity);
    /// Does not wait: flush() before.
    ~LogOutput();
    LogOutput(const LogOutput&) = delete;
    LogOutput& operator=(const LogOutput&) = delete;

    /// One or more whole lines, or a part of one.
    void put(std::string_view text);

    /// Waits until all is written, as long as some of it is taken in each `patience`, but not longer than ten of them.
    /// False: some is left; then the next one waits only if some of it has been taken since.
    bool flush(std::chrono::milliseconds patience = usual_patience);

    /// Ends the thread, when all is written, until the next line comes; for who needs a process without threads. False:
    /// some is left after `patience`, and the thread stays.
    bool rest(std::chrono::milliseconds patience = usual_patience);

    /// Of this process; flushed when that exits.
    static LogOutput& standard_error();

private:
    struct State;
    std::shared_ptr<State> state_; ///< the thread's, too
};

/// To standard error.
inline void log_text(std::string_view text) {
    LogOutput::standard_error().put(text);
}

} // namespace parapet

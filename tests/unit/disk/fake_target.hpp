// SPDX-License-Identifier: Apache-2.0
// A disk in an array. Requests end in the next round, or when the test says so.
#pragma once

#include "backends/disk/disk_target.hpp"
#include "backends/io/io_thread.hpp"

#include <atomic>
#include <cerrno>
#include <cstring>
#include <string>
#include <vector>

namespace parapet::disk_test {

class FakeTarget final : public disk::DiskTarget {
public:
    FakeTarget(io::IoThread& io, std::uint64_t bytes) : data(bytes), io_{io} {
        geometry_.bytes = bytes;
        geometry_.discard = geometry_.write_zeroes = true;
        geometry_.discard_granularity = 4096;
    }
    [[nodiscard]] const disk::Geometry& geometry() const override { return geometry_; }
    disk::Geometry& change() { return geometry_; }
    void submit(disk::TargetRequest& request) override {
        done.push_back(name(request));
        ++submitted;
        if (held) {
            waiting.push_back(&request);
        } else {
            io_.post([this, &request] { end(request, next_result); });
        }
    }
    void abandon() override {
        while (!waiting.empty()) {
            finish(0, -EIO);
        }
    }
    void watch(std::function<void()> changed) override { changed_ = std::move(changed); }

    // On the I/O thread.
    void finish(std::size_t index, int result = 0) {
        disk::TargetRequest& request = *waiting.at(index);
        waiting.erase(waiting.begin() + static_cast<std::ptrdiff_t>(index));
        end(request, result);
    }
    void grow(std::uint64_t bytes) {
        data.resize(bytes);
        geometry_.bytes = bytes;
        changed_();
    }

    std::vector<std::byte> data;
    std::vector<std::string> done; ///< "read 0+4096", "write 512+512 fua", "flush", in the order of submission
    std::vector<disk::TargetRequest*> waiting;
    std::atomic<bool> held = false;
    std::atomic<int> next_result = 0;
    std::atomic<unsigned> submitted = 0;

private:
    static std::string name(const disk::TargetRequest& request) {
        static constexpr const char* names[] = {"read", "write", "flush", "discard", "write_zeroes"};
        std::string text = names[static_cast<unsigned>(request.operation)];
        if (request.operation != disk::Operation::flush) {
            text += " " + std::to_string(request.offset) + "+" + std::to_string(request.length);
        }
        return text + (request.fua ? " fua" : "");
    }
    void end(disk::TargetRequest& request, int result) {
        if (result == 0) {
            std::byte* at = data.data() + request.offset;
            if (request.operation == disk::Operation::discard) {
                std::memset(at, 0, request.length);
            } else if (request.operation == disk::Operation::read || request.operation == disk::Operation::write) {
                for (const iovec& part : request.segments) {
                    request.operation == disk::Operation::read ? std::memcpy(part.iov_base, at, part.iov_len)
                                                               : std::memcpy(at, part.iov_base, part.iov_len);
                    at += part.iov_len;
                }
            }
        }
        request.complete(result);
    }
    io::IoThread& io_;
    disk::Geometry geometry_;
    std::function<void()> changed_;
};

} // namespace parapet::disk_test

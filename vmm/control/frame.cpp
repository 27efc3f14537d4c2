// SPDX-License-Identifier: Apache-2.0
#include "vmm/control/frame.hpp"

namespace parapet::vmm::control {

namespace {

std::size_t length_of(std::string_view header) {
    std::size_t length = 0;
    for (unsigned i = 4; i-- > 0;) {
        length = length << 8 | static_cast<unsigned char>(header[i]);
    }
    return length;
}

} // namespace

std::string encode_frame(FrameKind kind, std::string_view payload, std::size_t descriptors) {
    std::string frame;
    frame.reserve(frame_header + payload.size());
    for (unsigned i = 0; i < 4; i++) {
        frame += static_cast<char>(payload.size() >> 8 * i & 0xff);
    }
    frame += static_cast<char>(kind);
    frame += static_cast<char>(descriptors);
    frame.append(2, '\0');
    frame += payload;
    return frame;
}

/// Takes the frame that `bytes` begin with and returns its length; 0: it is not complete.
Result<std::size_t> FrameReader::take_one(std::string_view bytes) {
    if (bytes.size() < frame_header) {
        return std::size_t{0};
    }
    const std::size_t length = length_of(bytes);
    const char kind = bytes[4];
    const std::size_t descriptors = static_cast<unsigned char>(bytes[5]);
    if ((kind != 'J' && kind != 'C') || bytes[6] != 0 || bytes[7] != 0) {
        return Error{"this is not the control protocol of parapet"};
    }
    if (length > most_payload || descriptors > most_descriptors) {
        return Error{"a frame of the control protocol is too large"};
    }
    if (bytes.size() < frame_header + length) {
        return std::size_t{0};
    }
    if (descriptors > descriptors_.size()) {
        return Error{"descriptors were announced and not sent"};
    }
    Frame frame{static_cast<FrameKind>(kind), std::string{bytes.substr(frame_header, length)}, {}};
    for (std::size_t i = 0; i < descriptors; i++) {
        frame.descriptors.push_back(std::move(descriptors_.front()));
        descriptors_.pop_front();
    }
    frames_.push_back(std::move(frame));
    return frame_header + length;
}

Result<void> FrameReader::feed(std::string_view bytes, std::vector<UniqueFd> descriptors) {
    bytes_ += bytes;
    for (UniqueFd& descriptor : descriptors) {
        descriptors_.push_back(std::move(descriptor));
    }
    std::size_t used = 0;
    for (;;) {
        const auto taken = take_one(std::string_view{bytes_}.substr(used));
        if (!taken) {
            return taken.error();
        }
        if (*taken == 0) {
            break;
        }
        used += *taken;
    }
    bytes_.erase(0, used);
    if (descriptors_.size() > most_descriptors || (bytes_.empty() && !descriptors_.empty())) {
        return Error{"descriptors were sent that no frame announced"};
    }
    return {};
}

std::optional<Frame> FrameReader::next() {
    if (frames_.empty()) {
        return std::nullopt;
    }
    Frame frame = std::move(frames_.front());
    frames_.pop_front();
    return frame;
}

} // namespace parapet::vmm::control

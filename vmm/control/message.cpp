// SPDX-License-Identifier: Apache-2.0
#include "vmm/control/message.hpp"

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

namespace parapet::vmm::control {

namespace json = boost::json;

Result<json::object> parse_message(std::string_view text) {
    json::parse_options how;
    how.max_depth = 16;
    boost::system::error_code error;
    json::value value = json::parse(json::string_view{text.data(), text.size()}, error, {}, how);
    if (error || !value.is_object()) {
        return Error{"this is not the control protocol of parapet: an object in JSON was expected"};
    }
    json::object object = std::move(value.get_object());
    const auto version = number_member(object, "version");
    if (version != protocol_version) {
        return Error{"the domain and this command speak different versions of the control protocol (" +
                     (version ? std::to_string(*version) : std::string{"none"}) + " and " +
                     std::to_string(protocol_version) + "); use the parapet that started the domain"};
    }
    return object;
}

std::string format_message(json::object object) {
    object["version"] = protocol_version;
    return json::serialize(object);
}

std::optional<std::string> text_member(const json::object& object, std::string_view name) {
    const json::value* value = object.if_contains({name.data(), name.size()});
    const json::string* text = value == nullptr ? nullptr : value->if_string();
    return text == nullptr ? std::nullopt : std::optional{std::string{text->data(), text->size()}};
}

std::optional<std::uint64_t> number_member(const json::object& object, std::string_view name) {
    const json::value* value = object.if_contains({name.data(), name.size()});
    if (value == nullptr) {
        return std::nullopt;
    }
    boost::system::error_code error;
    const auto number = value->to_number<std::uint64_t>(error);
    return error ? std::nullopt : std::optional{number};
}

bool flag_member(const json::object& object, std::string_view name, bool otherwise) {
    const json::value* value = object.if_contains({name.data(), name.size()});
    const bool* flag = value == nullptr ? nullptr : value->if_bool();
    return flag == nullptr ? otherwise : *flag;
}

} // namespace parapet::vmm::control

// SPDX-License-Identifier: Apache-2.0
// A folder of its own for one test.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <string>
#include <system_error>

namespace parapet::vmm::control {

class TestFolder {
public:
    TestFolder() {
        std::string name = std::filesystem::temp_directory_path() / "parapet-test-XXXXXX";
        path_ = ::mkdtemp(name.data()); // mode 0700
    }
    ~TestFolder() {
        std::error_code error; // a sweeper may remove files at the same time
        for (int i = 0; i < 100 && std::filesystem::exists(path_, error); i++) {
            std::filesystem::remove_all(path_, error);
        }
    }
    TestFolder(const TestFolder&) = delete;
    TestFolder& operator=(const TestFolder&) = delete;

    [[nodiscard]] const std::string& path() const { return path_; }
    [[nodiscard]] bool has(const std::string& file) const { return std::filesystem::exists(path_ + "/" + file); }

private:
    std::string path_;
};

} // namespace parapet::vmm::control

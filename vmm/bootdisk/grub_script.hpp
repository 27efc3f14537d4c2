// SPDX-License-Identifier: Apache-2.0
// Carries out a grub.cfg as far as it says what to boot: variables, conditions, functions, search, menus, blscfg.
//
//   grub.cfg --parse--> tree --run--> menu entries --choose--> run its block --> linux, initrd
//
// How many steps it may take and how long a value may grow is bounded: the file may be anybody's.
#pragma once

#include "vmm/bootdisk/disk_files.hpp"
#include "vmm/bootdisk/script_ast.hpp"

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace parapet::bootdisk {

/// An entry of a menu, not yet carried out.
struct MenuItem {
    std::string title, id;
    bool is_submenu = false;
    bool is_hidden = false;               ///< no menu shows or counts it; only its name chooses it
    std::shared_ptr<const Block> block;   ///< of a menuentry or submenu
    std::optional<BootEntry> ready;       ///< of blscfg, which needs no carrying out
    std::vector<std::string> arguments{}; ///< $1, $2, ... of the block
};

/// What a menuentry's block asked for.
struct LoadRequest {
    std::optional<FilePlace> kernel;
    std::vector<FilePlace> initrds;
    std::string cmdline;
};

class GrubScript {
public:
    /// `config`: where the file stands; GRUB's $root and $prefix come from there.
    using Environment = std::map<std::string, std::string>;

    /// `saved`: values that its environment block is to have instead of those on the disk.
    GrubScript(DiskFiles& disk, FilePlace config, Environment saved = {});

    /// Reads the file and carries it out. Error: it is missing, makes no sense or takes too many steps.
    Result<void> run();

    [[nodiscard]] const std::vector<MenuItem>& menu() const { return menu_; }
    /// The value of a variable, empty where it is not set.
    [[nodiscard]] std::string variable(const std::string& name) const;

    /// What of it could not be carried out though it may matter: sentences for the user.
    [[nodiscard]] const std::vector<std::string>& notes() const { return notes_; }

    /// What GRUB would have written to the environment block by now.
    [[nodiscard]] const Environment& saved() const { return saved_; }

    /// The entries of a submenu.
    Result<std::vector<MenuItem>> open_submenu(const MenuItem& item);
    /// What an entry boots. What it does to variables is undone, as another may be tried after it.
    Result<LoadRequest> run_entry(const MenuItem& item);

private:
    bool run_block(const Block& block);
    bool run_statement(const Statement& statement);
    bool run_branch(const Statement& statement);
    bool run_loop(const Statement& statement);
    bool run_command(const std::vector<std::string>& words, const Statement& statement);
    bool call(std::shared_ptr<const Block> body, std::vector<std::string> arguments);

    bool add_item(const std::vector<std::string>& words, const Statement& statement);
    bool set(const std::vector<std::string>& words);
    bool search(const std::vector<std::string>& words);
    enum class SearchBy { file, label, uuid };
    /// Sets the variable, if it has a name, to the first device that has it.
    bool search_volume(SearchBy by, const std::string& name, const std::string& variable,
                       const std::vector<std::string>& hints);
    bool probe(const std::vector<std::string>& words);
    bool loopback(const std::vector<std::string>& words);
    bool load_environment(const std::vector<std::string>& words);
    bool save_environment(const std::vector<std::string>& words);
    bool run_file(const std::vector<std::string>& words, bool own_menu);
    bool load_kernel(const std::vector<std::string>& words);
    bool load_initrds(const std::vector<std::string>& words);
    bool load_module(const std::vector<std::string>& words);
    bool read_bls();

    [[nodiscard]] std::vector<std::string> expand(const std::vector<Word>& words);
    [[nodiscard]] std::string value_of(const std::string& name) const;
    void set_config_variables(const FilePlace& file);
    void assign(const std::string& name, std::string value);
    [[nodiscard]] std::size_t root() const;
    [[nodiscard]] std::size_t device(const std::string& name, std::size_t otherwise) const;
    [[nodiscard]] FilePlace place(const std::string& text) const;
    [[nodiscard]] bool spend(std::size_t steps);
    void note(std::string sentence);
    /// Stops everything.
    bool stop(std::string reason);

    DiskFiles& disk_;
    FilePlace config_;
    std::map<std::string, std::string> variables_;
    std::map<std::string, std::shared_ptr<const Block>> functions_;
    std::vector<std::string> arguments_; ///< of the function or menu entry that runs
    std::vector<MenuItem> menu_;
    LoadRequest request_;
    std::size_t steps_left_;
    unsigned depth_ = 0, files_read_ = 0;
    std::string failure_;
    Environment environment_, saved_, saved_at_top_;
    std::vector<std::string> notes_;
    std::set<std::string> loopbacks_; ///< devices that `loopback` has made
};

} // namespace parapet::bootdisk

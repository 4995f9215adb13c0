// --data and what goes with it.
#include "tools/dataset_options.h"

#include <cstdio>

#include "kernels/error.h"
#include "tools/choice.h"
#include "tools/command.h"
#include "tools/print.h"

namespace mcn {

void add_dataset_options(CLI::App& command, DatasetConfig& c, bool required) {
  CLI::Option* data =
      command.add_option("--data", c.root, required ? "folder of the data set" : "folder of the data set (required)");
  data->type_name(folder_type);
  if (required) data->required();
  add_choice<DatasetFormat>(command, "--format", c.format,
                            {{"auto", DatasetFormat::automatic},
                             {"ucf101", DatasetFormat::ucf101},
                             {"hmdb51", DatasetFormat::hmdb51},
                             {"kinetics", DatasetFormat::kinetics},
                             {"webdataset", DatasetFormat::webdataset},
                             {"list", DatasetFormat::list},
                             {"folder", DatasetFormat::folder}},
                            "format of the data set; auto: what its files show it to be");
  command.add_option("--split", c.split, "number of the official split, of ucf101 and hmdb51")->check(CLI::Range(1, 3));
  command
      .add_option("--splits", c.splits_dir, "folder of the split files, lists or CSV files, if not in the data set's")
      ->type_name(folder_type);
  const auto files = [&](const char* name, std::vector<std::string>& values, const std::string& what) {
    command
        .add_option(name, values,
                    what +
                        ": CSV files (kinetics), lists of \"PATH LABEL\" or \"PATH\" lines (list) or shards "
                        "(webdataset), as in "
                        "shard-{000000..000011}.tar")
        ->type_name(file_type)
        ->default_str("");
  };
  files("--train-files", c.train_files, "what names or holds the training videos");
  files("--test-files", c.test_files, "what names or holds the test videos");
}

void resolve_format(CLI::App& command, DatasetConfig& config) {
  config.format = detect_format(config);
  CLI::Option* option = command.get_option("--format");
  option->clear();
  option->add_result(name_of(config.format));
}

Dataset load(DatasetConfig config, Subset subset, double max_bad_percent) {
  config.max_absent_percent = max_bad_percent;
  Dataset dataset = load_dataset(config, subset);
  if (dataset.absent > 0)
    print_note("{} of {} listed videos are not in {} and are left out; mcn audit lists them\n", dataset.absent,
               dataset.absent + static_cast<std::int64_t>(dataset.videos.size()), config.root);
  if (!dataset.note.empty()) print_note("{}\n", dataset.note);
  return dataset;
}

}  // namespace mcn

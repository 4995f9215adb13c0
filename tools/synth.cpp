// `mcn synth`: writes a data set of synthetic motion videos.
#include "data/synth/synth.h"

#include <fmt/format.h>

#include "tools/choice.h"
#include "tools/command.h"
#include "tools/interrupt.h"
#include "tools/number.h"
#include "tools/print.h"
#include "tools/progress.h"

namespace mcn {

void add_synth(CLI::App& app) {
  CLI::App* command = app.add_subcommand("synth", "write labelled motion videos as real files, in UCF101's layout");
  auto c = std::make_shared<SynthConfig>();
  command->add_option("--out", c->out, "folder; must not exist or be empty")->type_name(folder_type)->required();
  add_choice<SceneType>(*command, "--scene", c->scene, {{"actions", SceneType::actions}, {"shapes", SceneType::shapes}},
                        "actions: the class is what a figure does; shapes: a bundle of motion, shape and pattern");
  command->add_option("--classes", c->classes, "number of classes: 2 to 12 actions, or 2 to 64 bundles");
  command->add_option("--train", c->train, "number of training videos, spread evenly over the classes");
  command->add_option("--test", c->test, "number of test videos");
  command->add_option("--frames", c->frames, "frames of a video");
  command->add_option("--height", c->height, "height of a frame in pixels, an even number");
  command->add_option("--width", c->width, "width of a frame in pixels, an even number");
  command->add_option("--fps", c->fps, "frames a second");
  command->add_option(
      "--correlation", c->correlation,
      "with --scene shapes: probability that the shape, and that the pattern, is the class's; 0: motion alone tells");
  command->add_option("--seed", c->seed, "seed of everything that is random")->check(not_negative_number());
  command->add_option("--threads", c->threads, "number of threads that draw and encode; the files do not depend on it")
      ->check(CLI::Range(1, 256));
  set_action(*command, [c] {
    Progress progress("synth", std::int64_t{c->train} + c->test);
    const InterruptGuard interrupt;
    write_synthetic_dataset(*c, [&](std::int64_t done, std::int64_t) {
      interrupt.throw_if_requested();
      progress.update(done, "");
    });
    progress.finish();
    print_summary("{}: {} training and {} test videos of {} classes\n", c->out, c->train, c->test, c->classes);
    return ok;
  });
}

}  // namespace mcn

// Which settings of training have no effect, or hardly the one that was meant.
#include <CLI/CLI.hpp>

#include "tools/train_options.h"

namespace mcn {

std::vector<std::string> doubtful_settings(const CLI::App& command, const TrainOptions& o) {
  const TrainConfig& c = o.config;
  std::vector<std::string> doubts;
  const auto doubt = [&](bool is, const std::string& text) {
    if (is) doubts.push_back(text);
  };
  const auto given = [&](const char* name) { return command.get_option(name)->count() > 0; };
  const bool bilevel = c.method == Method::mcn;
  doubt(c.optimizer.schedule == ScheduleKind::multistep && c.optimizer.milestones.empty(),
        "--schedule multistep without --milestones is constant");
  doubt(c.optimizer.warmup >= c.iterations,
        fmt::format("--warmup of {} iterations: training ends after {}, before the learning rate is --lr",
                    c.optimizer.warmup, c.iterations));
  doubt(o.profile && o.profile->last > c.iterations,
        fmt::format("--profile-steps end at {}, training at {}", o.profile ? o.profile->last : 0, c.iterations));
  doubt(c.loader.clip.frames == 1, "--frames 1: a clip of one frame shows no motion");
  doubt(bilevel && c.loader.batch % 2 != 0, fmt::format("--batch {}: S has {} videos and Q {}", c.loader.batch,
                                                        c.loader.batch / 2, c.loader.batch - c.loader.batch / 2));
  doubt(c.optimizer.kind == OptimizerKind::adamw && c.optimizer.beta2 == 1,
        "--beta2 1 never learns the gradients' size");
  doubt(c.model.backbone.width < 0.05, fmt::format("--width {} leaves {} features of a clip", c.model.backbone.width,
                                                   make_backbone(c.model.backbone)->features()));
  std::string unused;
  if (!bilevel)
    for (const char* name :
         {"--order", "--inner-steps", "--inner-lr", "--inner-tape", "--inner-params", "--objective", "--beta",
          "--first-order-for", "--curvature-every", "--inner-lr-factors", "--learn-inner-lr", "--inner-lr-lr"})
      if (o.chosen.contains(name)) unused += (unused.empty() ? "" : ", ") + std::string(name);
  doubt(!unused.empty(), fmt::format("{} have no effect with --method {}", unused,
                                     c.method == Method::contrastive ? "contrastive" : "joint"));
  doubt(bilevel && o.chosen.contains("--inner-lr-lr") && !c.inner_rates.learned,
        "--inner-lr-lr has no effect without --learn-inner-lr");
  doubt(bilevel && c.inner_rates.learned && c.curvature.every == 0,
        "--learn-inner-lr with --curvature-every 0: nothing limits the rates");
  doubt(given("--milestones") && c.optimizer.schedule != ScheduleKind::multistep,
        "--milestones have no effect without --schedule multistep");
  return doubts;
}

}  // namespace mcn

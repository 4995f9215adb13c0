// Training: draws S and Q from the loader, takes the (meta-)gradient of the two-branch objective, updates theta.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "data/batch.h"
#include "meta/checkpoint.h"
#include "meta/feature_bank.h"
#include "meta/iteration.h"
#include "meta/optimizer.h"
#include "meta/train/diagnostics.h"
#include "meta/train/inner_rates.h"
#include "meta/weights.h"

namespace mcn {

/// The rows of the claim's minimum ablation (docs/choices.md). contrastive: InfoNCE alone; joint: both losses on all
/// videos, no bilevel step; mcn: both stages.
enum class Method : std::uint8_t { contrastive, joint, mcn };

/// Which parameters the inner steps move. Without the backbone or most of it ("almost no inner loop", Raghu et al.,
/// ICLR 2020) an inner step is cheaper.
enum class InnerParameters : std::uint8_t { all, heads, layer4_and_heads };

/// When the top eigenvalue of the Hessian of L_S is measured, and whether alpha1 follows it.
struct CurvatureConfig {
  std::int64_t every = 0;  ///< iterations from one measurement to the next; 0: none
  int products = 3;  ///< Hessian products of a measurement; the first one, from a random vector, has four times as many
  /// alpha1 = stable_inner_lr(eigenvalue). An outer gradient with a cosine below .7 with g_Q, which such a rate
  /// excludes, shows that the curvature has grown: then it is measured again, at most four times an interval. (Learned
  /// rates may be twice as high, and call for it without that.)
  bool sets_inner_lr = false;
};

struct TrainConfig {
  McnModelConfig model;
  ObjectiveConfig objective;
  Method method = Method::mcn;
  MamlConfig maml;
  InnerParameters inner_parameters = InnerParameters::all;
  std::int64_t first_order_iterations = 0;  ///< at the start, before the second order of maml begins
  CurvatureConfig curvature;
  InnerRateConfig inner_rates;
  FeatureBankConfig bank;
  OptimizerConfig optimizer;
  double clip_grad = 0;  ///< the longest outer gradient that the optimizer takes; a longer one is scaled down; 0: any
  LoaderConfig loader;
  std::int64_t iterations = 1000;
  double running_momentum = 0.1;  ///< of running statistics, torch's: new = (1 - m) old + m batch
  DType dtype = DType::f32;
  bool cuda_graph = false;  ///< replay the device's work of an iteration as one CUDA graph; changes no bit
};

/// The two branches' parts of a loss.
struct BranchLosses {
  double contrastive = 0, meta = 0;
};

/// What an iteration's inner steps did to its outer gradient.
struct InnerStepMetrics {
  double inner_lr = 0;           ///< alpha1; the highest where there are several
  std::vector<InnerRate> rates;  ///< with inner_rates in the config
  int order = 1;
  double query_gradient_norm = 0;  ///< |g_Q(theta_K)|
  /// |v - g_Q|, where v is the gradient of L_Q(theta_K(theta)) at theta; with one inner step |alpha1 H g_Q|
  double hessian_term_norm = 0;
  double cosine = 0;  ///< of v with g_Q(theta_K): 1 to first order
};

/// A measurement of curvature.
struct CurvatureMetrics {
  double eigenvalue = 0, alignment = 0;  ///< as Curvature
  double query_loss_at_theta = 0;        ///< L_Q before the inner steps
  double seconds = 0;                    ///< of the measurement
};

/// One iteration's figures. Losses of S are at theta, those of Q at theta_K; without a bilevel step, all videos count
/// as Q and S has none.
struct IterationMetrics {
  std::int64_t iteration = 0;
  std::optional<BranchLosses> support;
  BranchLosses query;
  double support_loss = 0, query_loss = 0;
  std::optional<Accuracies> support_accuracies;
  Accuracies query_accuracies;
  /// embedding_std of Q's projections z, and what it is where they point everywhere alike.
  double embedding_std = 0, embedding_std_isotropic = 0;
  double learning_rate = 0;
  double gradient_norm = 0;                   ///< of the outer gradient, before it is clipped
  std::optional<InnerStepMetrics> inner;      ///< method mcn
  std::optional<CurvatureMetrics> curvature;  ///< in the iterations that measure it
  std::vector<GroupUpdate> updates;
  std::size_t tape_bytes = 0;        ///< the most that inner steps' tapes held for their Hessian products
  std::size_t resident_bytes = 0;    ///< of the host's memory that the process holds at its end; 0: not known
  std::size_t tensor_bytes = 0;      ///< the most that tensors have held on the device until now
  double seconds = 0;                ///< of the whole iteration
  double wait_ms = 0;                ///< of it, spent waiting for the loader
  double decode_ms = 0;              ///< that loader threads spent on this batch, together
  double clip_decode_ms = 0;         ///< the same for each of its clips, on average
  double ring_ready = 0;             ///< batches that were ready in the loader's ring when this one was asked for
  std::int64_t bad_videos = 0;       ///< that were found unusable until now
  std::int64_t shortened_clips = 0;  ///< of this batch's clips, those with a smaller stride, as their video is short
};

class Trainer {
 public:
  /// resume: path of a checkpoint to go on from, or empty; read_sound_checkpoint() reads it. ChangedSettingsError
  /// (meta/train/settings.h) if a setting that shapes the run, or the data set, is another one and not `allowed` to be;
  /// "all" allows every one. Then moments and bank of another kind than this run's are left out.
  Trainer(TrainConfig config, ClipSource clips, Backend& backend, const std::string& resume = {},
          const std::set<std::string>& allowed = {});

  /// Starts from the weights of a file, with everything else as the seed has it (meta/weights.h). UsageError after an
  /// iteration or a resumed checkpoint.
  WeightsReport initialize(const Weights& weights, bool strict);

  /// One iteration, on the loader's next batch or on one that is given. `waiting` is called ten times a second while
  /// the loader is waited for, and may throw; what it and the loader throw leaves the state as it was. NonFiniteError
  /// names the iteration and the first tensor that is not finite, and leaves the state as it was. So does any other
  /// exception, but for one in the middle of an update.
  IterationMetrics step(const std::function<void()>& waiting = {});
  IterationMetrics step(const Batch& batch);

  /// Index and cause of every video that the loader found unusable, in the run's earlier parts too.
  [[nodiscard]] std::vector<std::pair<std::int64_t, std::string>> bad_videos() const;

  /// Iterations done.
  [[nodiscard]] std::int64_t iteration() const { return iteration_; }
  /// False after an exception in the middle of an update, as for lack of memory: the state is of no iteration then.
  [[nodiscard]] bool whole() const { return whole_; }
  /// What differs from the settings of the checkpoint that was resumed, a text each (meta/train/settings.h).
  [[nodiscard]] const std::vector<std::string>& changed_since_checkpoint() const { return changed_; }
  /// Why another checkpoint than the one that was asked for was resumed, and which; empty if none was.
  [[nodiscard]] const std::string& damaged_checkpoint() const { return damage_; }
  /// alpha1 of the last iteration, before the factors of its groups; and with these.
  [[nodiscard]] double inner_lr() const { return inner_lr_; }
  [[nodiscard]] std::vector<InnerRate> inner_rates() const { return inner_rates_.rates(inner_lr_); }
  [[nodiscard]] const ModelState& state() const { return state_; }
  [[nodiscard]] const McnModel& model() const { return model_; }
  [[nodiscard]] ModelDescription description() const;
  /// Bytes kept from iteration to iteration.
  struct Holdings {
    std::size_t weights = 0, optimizer = 0, bank = 0;
  };
  [[nodiscard]] Holdings holdings();

  /// Writes a checkpoint atomically, and keeps the ones before it (AtomicFile::commit). NonFiniteError, and nothing
  /// written, if a tensor of it is not finite.
  void save(const std::string& path, int keep = 1);

 private:
  [[nodiscard]] ClipSet clip_set(const Batch& batch, std::int64_t begin, std::int64_t end) const;
  IterationMetrics train_on(const Batch& batch);
  /// Sets alpha1 and the order of the iteration, and measures the curvature if it is time.
  std::optional<CurvatureMetrics> prepare_inner(const IterationInputs& inputs);
  [[nodiscard]] InnerStepMetrics inner_step_metrics(const MetaGradient& meta) const;
  /// Clips the gradient in place.
  void update_parameters(MetaGradient& meta, IterationMetrics& metrics);
  void update_bank(const Tensor& z, std::span<const std::int64_t> videos);
  void load(const std::string& path, const std::set<std::string>& allowed);
  /// Parts of load(): DataError for what could not have been saved.
  void load_progress(const SoundCheckpoint& checkpoint, const std::set<std::string>& changed);
  void load_bank(const SoundCheckpoint& checkpoint, const nlohmann::json& progress);

  TrainConfig config_;
  Backend& backend_;
  McnModel model_;
  ModelState state_;
  Optimizer optimizer_;
  FeatureBank bank_;
  std::vector<std::string> changed_;
  std::string damage_;
  std::int64_t iteration_ = 0;
  bool whole_ = true;
  double inner_lr_ = 0;
  InnerRates inner_rates_;
  Tensors curvature_vector_;  // of the last measurement; empty before the first
  std::int64_t measured_at_ = 0;
  bool turned_ = false;  // the last iteration's cosine shows that the curvature has grown since
  std::optional<Iteration> work_;
  ClipSource clips_;
  std::unique_ptr<BatchSource> loader_;  // made when the first batch is asked for
};

}  // namespace mcn

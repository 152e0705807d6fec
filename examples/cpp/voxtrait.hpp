// Predicts gender and age from samples with an exported bundle of voxtrait, on ONNX Runtime's C++ interface.
//
//     voxtrait::Model model("base-onnx");                      // folder of `voxtrait bundle export … --to onnx`
//     voxtrait::Prediction found = model.predict(samples);     // float in [-1, 1], mono, 16 kHz
//
// The rules of the speech detection are those of voxtrait/speech/detector.py; their numbers come from model.json.

#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <fstream>
#include <map>
#include <regex>
#include <sstream>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <onnxruntime_cxx_api.h>

namespace voxtrait {

using Samples = std::vector<float>;
using Run = std::pair<std::size_t, std::size_t>;  // first, past the last

struct Prediction {
  std::string status;     // ok, no_speech or too_short; unless it is ok, ignore the fields from `gender` on
  double duration_s = 0;  // of the recording
  double speech_s = 0;    // of the speech in it
  std::string gender;     // female, male or unsure
  float p_female = 0;     // calibrated probability
  float age_years = 0;
  float age_low = 0;  // ends of the calibrated 80 % interval
  float age_high = 0;
  std::string age_group;
  Samples age_groups;  // probability of each age group
  Samples embedding;   // of length 1
};

// The numbers and names of model.json that a prediction needs. A program with a JSON library would use that.
class Description {
 public:
  explicit Description(const std::string& file) {
    std::ifstream stream(file);
    if (!stream) throw std::runtime_error("No model.json at " + file);
    std::stringstream content;
    content << stream.rdbuf();
    text_ = content.str();
  }

  double rule(const std::string& name) const { return std::stod(found("\"" + name + "\":\\s*([-+.\\deE]+)", text_.find("\"speech\":"))); }

  std::array<double, 2> unsure() const {
    const std::string band = found("\"unsure\":\\s*\\[([^\\]]*)\\]", 0);
    return {std::stod(band), std::stod(band.substr(band.find(',') + 1))};
  }

  std::vector<std::string> age_groups() const {
    const std::string names = found("\"age_groups\":\\s*\\[([^\\]]*)\\]", 0);
    const std::regex name("\"(\\w+)\"");
    std::vector<std::string> groups;
    for (std::sregex_iterator at(names.begin(), names.end(), name), end; at != end; ++at) groups.push_back((*at)[1]);
    return groups;
  }

 private:
  std::string found(const std::string& pattern, std::size_t from) const {
    std::smatch match;
    const auto begin = text_.begin() + static_cast<std::ptrdiff_t>(std::min(from, text_.size()));
    if (!std::regex_search(begin, text_.end(), match, std::regex(pattern))) throw std::runtime_error("model.json lacks " + pattern);
    return match[1];
  }

  std::string text_;
};

// One graph: float arrays in, float arrays out, by name.
class Graph {
 public:
  Graph(Ort::Env& env, const std::string& file, const Ort::SessionOptions& options) : session_(env, file.c_str(), options) {
    Ort::AllocatorWithDefaultOptions allocator;
    for (std::size_t at = 0; at < session_.GetOutputCount(); ++at) outputs_.push_back(session_.GetOutputNameAllocated(at, allocator).get());
  }

  using Inputs = std::map<std::string, std::pair<Samples*, std::vector<int64_t>>>;

  // Returns the values of each output. `shape`, if given, gets the shape of the first output.
  std::map<std::string, Samples> run(const Inputs& inputs, std::vector<int64_t>* shape = nullptr) {
    const auto memory = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);
    std::vector<const char*> names, wanted;
    std::vector<Ort::Value> values;
    for (const auto& [name, given] : inputs) {
      names.push_back(name.c_str());
      values.push_back(Ort::Value::CreateTensor<float>(memory, given.first->data(), given.first->size(), given.second.data(), given.second.size()));
    }
    for (const auto& name : outputs_) wanted.push_back(name.c_str());
    auto found = session_.Run(Ort::RunOptions{nullptr}, names.data(), values.data(), values.size(), wanted.data(), wanted.size());
    std::map<std::string, Samples> result;
    for (std::size_t at = 0; at < found.size(); ++at) {
      const float* data = found[at].GetTensorData<float>();
      result[outputs_[at]] = Samples(data, data + found[at].GetTensorTypeAndShapeInfo().GetElementCount());
    }
    if (shape) *shape = found[0].GetTensorTypeAndShapeInfo().GetShape();
    return result;
  }

 private:
  Ort::Session session_;
  std::vector<std::string> outputs_;
};

class Model {
 public:
  explicit Model(const std::string& folder)
      : description_(folder + "/model.json"),
        quick_(env_, folder + "/quick.onnx", options()),
        silero_(env_, folder + "/silero.onnx", options()),
        voice_(env_, folder + "/voice.onnx", options()),
        answer_(env_, folder + "/answer.onnx", options()) {}

  // Predicts from a whole recording: mono, 16 kHz, in [-1, 1].
  Prediction predict(const Samples& signal) {
    Prediction found;
    found.duration_s = signal.size() / 16000.0;
    Samples speech = spoken(signal, &found.speech_s);
    const double least = rule("shortest_s");
    if (found.duration_s < least || (found.speech_s > 0 && found.speech_s < least)) {
      found.status = "too_short";
    } else if (found.speech_s == 0) {
      found.status = "no_speech";
    } else {
      found.status = "ok";
      answer(speech, found);
    }
    return found;
  }

 private:
  static Ort::SessionOptions options() {
    Ort::SessionOptions made;
    made.SetIntraOpNumThreads(1);
    return made;
  }

  double rule(const std::string& name) const { return description_.rule(name); }

  // Returns the speech and what surrounds it, without the pauses between.
  Samples spoken(const Samples& signal, double* seconds) {
    const std::size_t frame = static_cast<std::size_t>(rule("frame_samples"));
    const std::size_t window = static_cast<std::size_t>(rule("window_frames")) * frame;
    const std::size_t whole = signal.size() - signal.size() % frame;
    Samples shares;
    state_.clear();
    for (std::size_t at = 0; at < whole; at += window) {
      Samples part(signal.begin() + at, signal.begin() + std::min(whole, at + window));
      const Samples found = probabilities(part, frame);
      shares.insert(shares.end(), found.begin(), found.end());
    }
    const std::vector<bool> frames = decide(shares);
    *seconds = std::count(frames.begin(), frames.end(), true) * static_cast<double>(frame) / 16000;
    const std::size_t around = static_cast<std::size_t>(rule("surrounding_frames"));
    std::vector<bool> wide(frames.size());
    for (const auto& [start, stop] : runs(frames)) fill(wide, start, stop, around);
    Samples speech;
    for (const auto& [start, stop] : runs(wide)) speech.insert(speech.end(), signal.begin() + start * frame, signal.begin() + stop * frame);
    return speech;
  }

  // Returns the probability of speech of each frame of a window.
  Samples probabilities(Samples& part, std::size_t frame) {
    const std::size_t count = part.size() / frame;
    std::vector<double> powers(count), levels(count);
    for (std::size_t at = 0; at < part.size(); ++at) powers[at / frame] += static_cast<double>(part[at]) * part[at] / frame;
    std::transform(powers.begin(), powers.end(), levels.begin(), [](double power) { return 10 * std::log10(power + 1e-12); });
    std::sort(levels.rbegin(), levels.rend());
    const auto nth = [&](const char* name) { return levels[std::min(static_cast<std::size_t>(rule(name)), count) - 1]; };
    const double brief = nth("brief_frames");
    const double level = brief >= rule("quietest_dbfs") ? std::max(nth("loud_frames"), brief - rule("brief_db")) : brief;
    if (level < rule("quietest_dbfs")) {
      state_.clear();
      return Samples(count);
    }
    Samples gain{static_cast<float>(std::pow(10, (rule("target_dbfs") - level) / 20))};
    const std::vector<int64_t> shape{static_cast<int64_t>(part.size())};
    Samples shares = quick_.run({{"signal", {&part, shape}}, {"gain", {&gain, {1}}}})["shares"];
    if (is_clear(shares)) {
      const double silent = std::pow(10, (level - rule("silent_db")) / 10);
      for (std::size_t at = 0; at < count; ++at) {
        if (powers[at] < silent) shares[at] = 0;  // the quick network looks ahead, so its speech may begin too early
      }
      state_.clear();
      return shares;
    }
    for (const auto& [name, size] : {std::pair<std::string, std::size_t>{"context", 64}, {"hidden", 128}, {"cell", 128}}) state_[name].resize(size);
    auto found = silero_.run({{"signal", {&part, shape}}, {"gain", {&gain, {1}}}, {"context", {&state_["context"], {64}}},
                              {"hidden", {&state_["hidden"], {1, 1, 128}}}, {"cell", {&state_["cell"], {1, 1, 128}}}});
    for (auto& [name, values] : state_) values = found["next_" + name];
    return found["shares"];
  }

  bool is_clear(const Samples& shares) const {
    const float speech = static_cast<float>(rule("quick_speech")), pause = static_cast<float>(rule("quick_pause"));
    double sum = 0;
    std::size_t count = 0, pauses = 0;
    for (const float share : shares) {
      if (share >= speech) sum += share, ++count;
      pauses += share <= pause;
    }
    return count >= rule("quick_speech_frames") && sum / count >= rule("quick_sure") &&
           shares.size() - count - pauses <= rule("quick_doubted") * shares.size();
  }

  // Decides which frames are speech.
  std::vector<bool> decide(const Samples& shares) const {
    const float on = static_cast<float>(rule("on")), off = static_cast<float>(rule("off")), sure = static_cast<float>(rule("sure"));
    std::vector<bool> possible(shares.size()), frames(shares.size());
    std::transform(shares.begin(), shares.end(), possible.begin(), [&](float share) { return share >= off; });
    std::vector<Run> stretches;
    for (auto [start, stop] : runs(possible)) {
      if (*std::max_element(shares.begin() + start, shares.begin() + stop) < on) continue;
      if (!stretches.empty() && start - stretches.back().second <= rule("bridge_frames")) {
        start = stretches.back().first;
        stretches.pop_back();
      }
      stretches.emplace_back(start, stop);
    }
    for (const auto& [start, stop] : stretches) {
      const auto clear = std::count_if(shares.begin() + start, shares.begin() + stop, [&](float share) { return share >= sure; });
      if (clear >= rule("sure_frames")) fill(frames, start, stop, static_cast<std::size_t>(rule("margin_frames")));
    }
    return frames;
  }

  void answer(Samples& speech, Prediction& found) {
    const std::size_t stretch = static_cast<std::size_t>(rule("stretch_s") * 16000);
    Samples summaries;
    std::vector<int64_t> shape;
    for (std::size_t at = 0, size; at < speech.size(); at += size) {
      size = speech.size() - at > 2 * stretch ? stretch : speech.size() - at;
      Samples piece(speech.begin() + at, speech.begin() + at + size);
      Samples all{0, 1e6F};
      const Samples rows = voice_.run({{"speech", {&piece, {static_cast<int64_t>(size)}}}, {"rows", {&all, {2}}}}, &shape)["summaries"];
      summaries.insert(summaries.end(), rows.begin(), rows.end());
    }
    Samples seconds{static_cast<float>(found.speech_s)};
    const std::vector<int64_t> rows{static_cast<int64_t>(summaries.size()) / shape[1], shape[1]};
    auto values = answer_.run({{"summaries", {&summaries, rows}}, {"speech_s", {&seconds, {1}}}});
    found.p_female = values["p_female"][0];
    const auto [low, high] = description_.unsure();
    found.gender = low < found.p_female && found.p_female < high ? "unsure" : found.p_female >= 0.5 ? "female" : "male";
    found.age_years = values["age_years"][0];
    found.age_low = values["age_low"][0];
    found.age_high = values["age_high"][0];
    found.age_groups = values["age_groups"];
    found.embedding = values["embedding"];
    const auto groups = description_.age_groups();
    found.age_group = groups[std::min(static_cast<std::size_t>(found.age_years / 10), groups.size() - 1)];
  }

  static std::vector<Run> runs(const std::vector<bool>& values) {
    std::vector<Run> found;
    for (std::size_t at = 0; at < values.size(); ++at) {
      if (!values[at]) continue;
      const std::size_t start = at;
      while (at < values.size() && values[at]) ++at;
      found.emplace_back(start, at);
    }
    return found;
  }

  // Sets the values of a run, and as many as `around` before and after it.
  static void fill(std::vector<bool>& values, std::size_t start, std::size_t stop, std::size_t around) {
    std::fill(values.begin() + (start - std::min(start, around)), values.begin() + std::min(values.size(), stop + around), true);
  }

  Ort::Env env_{ORT_LOGGING_LEVEL_ERROR, "voxtrait"};
  Description description_;
  Graph quick_, silero_, voice_, answer_;
  std::map<std::string, Samples> state_;  // of Silero's network
};

}  // namespace voxtrait

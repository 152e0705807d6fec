// Predicts gender and age of WAV files: predict MODEL FILE.wav…
//
// MODEL is the folder of `voxtrait bundle export BUNDLE --to onnx MODEL`. The files have 16 kHz and 16-bit samples.
// Channels are averaged. Prints one JSON object a file.

#include <cstdint>
#include <cstdio>
#include <cstring>
#include <exception>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string>
#include <vector>

#include "voxtrait.hpp"

namespace {

std::uint32_t number(const std::vector<char>& data, std::size_t at, int bytes) {
  std::uint32_t value = 0;
  for (int k = bytes - 1; k >= 0; --k) value = value << 8 | static_cast<unsigned char>(data.at(at + k));
  return value;
}

voxtrait::Samples read_wav(const std::string& path) {
  std::ifstream stream(path, std::ios::binary);
  const std::vector<char> data{std::istreambuf_iterator<char>(stream), {}};
  std::uint32_t channels = 0;
  for (std::size_t at = 12; at + 8 <= data.size(); at += 8 + number(data, at + 4, 4) + number(data, at + 4, 4) % 2) {
    if (std::memcmp(&data[at], "fmt ", 4) == 0) {
      channels = number(data, at + 10, 2);
      if (number(data, at + 12, 4) != 16000 || number(data, at + 22, 2) != 16) {
        throw std::runtime_error("Expected a sampling rate of 16 kHz and 16-bit samples. Run `voxtrait convert` first.");
      }
    } else if (std::memcmp(&data[at], "data", 4) == 0 && channels) {
      const std::size_t bytes = std::min<std::size_t>(number(data, at + 4, 4), data.size() - at - 8);
      voxtrait::Samples samples(bytes / 2 / channels);
      for (std::size_t k = 0; k < samples.size() * channels; ++k) {
        samples[k / channels] += static_cast<std::int16_t>(number(data, at + 8 + 2 * k, 2)) / 32768.0f / channels;
      }
      return samples;
    }
  }
  throw std::runtime_error("This is not a WAV file.");
}

}  // namespace

int main(int count, char** arguments) {
  if (count < 3) {
    std::fprintf(stderr, "Usage: predict MODEL FILE.wav...\n");
    return 2;
  }
  try {
    voxtrait::Model model(arguments[1]);
    for (int at = 2; at < count; ++at) {
      const voxtrait::Prediction found = model.predict(read_wav(arguments[at]));
      std::printf("{\"status\": \"%s\", \"duration_s\": %.2f, \"speech_s\": %.2f", found.status.c_str(), found.duration_s, found.speech_s);
      if (found.status == "ok") {
        std::printf(", \"gender\": \"%s\", \"p_female\": %.4f, \"age_years\": %.2f, \"age_low\": %.2f, \"age_high\": %.2f, \"age_group\": \"%s\"",
                    found.gender.c_str(), found.p_female, found.age_years, found.age_low, found.age_high, found.age_group.c_str());
      }
      std::printf("}\n");
    }
  } catch (const std::exception& error) {
    std::fprintf(stderr, "predict: %s\n", error.what());
    return 1;
  }
}

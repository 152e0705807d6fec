# Homebrew formula of the light install, for a tap of its own: it installs wheels, which the core of Homebrew refuses.
# Checked with ruby -c; not run, because Homebrew cannot be had on the machine where it was written. In the tap, put the
# address and the hash of the sdist into url and sha256 (release/packages.py prints the hash). They cannot stand here,
# because the sdist contains this file.
class Voxtrait < Formula
  include Language::Python::Virtualenv

  desc "Estimates how a voice presents, gender and age, each with its uncertainty"
  homepage "https://example.invalid/voxtrait"
  url "https://example.invalid/voxtrait-0.2.0.tar.gz"
  sha256 "0000000000000000000000000000000000000000000000000000000000000000"
  license all_of: ["Apache-2.0", "MIT", "OFL-1.1"]

  depends_on "python@3.13"

  def install
    # wheels, not sources: ONNX Runtime has no sdist, and the wheels of soundfile and soxr bring their libraries
    virtualenv = virtualenv_create(libexec, "python3.13")
    system libexec/"bin/python", "-m", "pip", "install", "--no-cache-dir", buildpath
    bin.install_symlink libexec/"bin/voxtrait"
    virtualenv
  end

  test do
    assert_match version.to_s, shell_output("#{bin}/voxtrait --version")
    # a second of silence has no speech
    (testpath/"a.wav").binwrite(["RIFF", 32_036, "WAVEfmt ", 16, 1, 1, 16_000, 32_000, 2, 16, "data", 32_000]
                                .pack("a4Va8VvvVVvva4V") + ("\0" * 32_000))
    assert_match "no_speech", shell_output("#{bin}/voxtrait a.wav")
  end
end

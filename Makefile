# Every target works from a fresh clone, as root on Debian 12 with a Rust toolchain.

.PHONY: help setup images demo check lint test bench soak campaign flakes next generate rpm

help:
	@echo 'make setup     installs the Debian packages of tests/packages.txt'
	@echo 'make check     all that CI runs: lint, tests, images, guest tests'
	@echo 'make demo      boots a guest with a strict policy and shows what imad does there (DEMO=qemu: under QEMU)'
	@echo 'make lint      formatting, clippy, shellcheck'
	@echo 'make test      the tests without a guest'
	@echo 'make bench     how long policies, the guard, and labels to be written and verified take (half an hour)'
	@echo 'make soak      what takes longer: more kernels, and SOAK=600 seconds of fuzzing each parser'
	@echo 'make campaign  breaks machines in every way and boots them; goes on where it was stopped (hours)'
	@echo 'make flakes    N=20 runs of the guest tests, each with another seed; goes on where it was stopped'
	@echo 'make next      the policy language, verdicts, labels and the story on a newer distribution and kernel'
	@echo 'make images    kernel, root, packages and initramfs images of the guests, as far as they are not cached'
	@echo 'make generate  manual pages, completions and D-Bus XML'
	@echo 'make rpm       imad'"'"'s RPM packages, in target/rpms'

setup:
	tests/setup.sh

images: setup
	tests/guest/images/build.sh

demo: images
	IMAD_MACHINE=$(DEMO) cargo run --quiet --locked --example demo

check:
	tests/check.sh

lint: setup
	tests/check.sh lint

test: setup
	tests/check.sh test

bench: setup
	cargo bench --locked --bench policy --bench database --bench guard --bench labels

soak: setup
	tests/soak.sh $(SOAK)

campaign: setup
	tests/campaign.sh

flakes: setup
	tests/flakes.sh $(N)

next: setup
	tests/next.sh

generate: setup
	cargo run --quiet --locked --example generate -- .

rpm: setup
	packaging/build-rpm.sh target/rpms

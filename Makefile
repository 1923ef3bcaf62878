# longtake: build, test and measure. `make help` lists the targets.
GO      ?= go
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
LDFLAGS := -s -w -X github.com/longtake/longtake/internal/daemon.Version=$(VERSION)
FUZZ    ?= 5000x
TORCH   ?= python3
PYTHON  ?= python3
export CGO_ENABLED = 0
# Go takes the last -tags alone: nodemo comes on top of those of GOFLAGS.
comma := ,
NODEMO := nodemo$(patsubst -tags=%,$(comma)%,$(filter -tags=%,$(GOFLAGS)))

.PHONY: help build demo test test-fast test-all vet test-nodemo test-generic test-race test-clients test-mlperf test-long cuda cuda-test gpu-test gpu-kit gpu-bench sim scale chaos kept fuzz lint \
  bench-compare bench-cpu bench-net bench-plan picture long-pictures costs published golden notices clean

help: ## list the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "%-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## static binaries in bin/: longtake, coordinator, shard
	$(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/ ./cmd/...

demo: ## build (some minutes the first time) and write demo.webm with the shipped model, over two shards (seconds)
	@echo "building: 2 to 5 minutes the first time, seconds after that"
	@$(MAKE) --no-print-directory build
	bin/longtake generate -p "a red ball bouncing over the sea at sunset" --seed 1 --shards 2 -o demo.webm

# Parts of `make test` do not vet what they test (-vet=off): the part vet does that, for all of them.
# Many tests wait more than they compute, so two parts of `make test` run at a time. The one that uses
# a core most of the time comes first, so that nothing waits for it alone in the end.
test: ## everything that CI runs, but for the clients and lint: all parts below, two at a time; of cuda-test's planted mistakes a sixth
	@PART=sixth $(MAKE) --no-print-directory -j2 $(if $(filter output-sync,$(.FEATURES)),-O) \
	  cuda-test test-all vet test-nodemo test-generic test-race fuzz

test-fast: ## vet, and every test that is quick: the inner loop, about a minute on two cores
	$(GO) vet ./...
	$(GO) test -short -p 6 $$($(GO) list ./... | grep -v /cmd/longtake)

test-all: ## every test, long clips and clusters of processes too
	$(GO) test -vet=off -p 4 ./...

vet: ## go vet, and what is other on arm64, on macOS and without the demo model
	$(GO) vet ./...
	GOARCH=arm64 $(GO) vet ./internal/cpu
	GOOS=darwin GOARCH=arm64 $(GO) vet ./internal/disk ./internal/userfile ./internal/tensor/safetensors
	$(GO) vet -tags $(NODEMO) ./models/demo ./internal/cli

test-nodemo: ## what commands say in builds without the demo model
	$(GO) test -vet=off -tags $(NODEMO) -run 'WithoutTheDemo|TestOpen' ./models/demo ./internal/cli

# Tests of internal/cpu that compare sets of kernels have the generic one among them in test-all.
test-generic: ## the CPU engine and the models without assembly
	LONGTAKE_CPU=generic $(GO) test -vet=off -skip 'Twins$$|^Test(Conformance|GeneratedFilesAreCurrent)$$' ./internal/cpu
	LONGTAKE_CPU=generic $(GO) test -vet=off -short $(filter-out %/model/vae,$(shell $(GO) list ./internal/model/...))
	LONGTAKE_CPU=generic $(GO) test -vet=off -run Reference ./internal/model/vae

# Packages in which nothing runs at the same time as anything else. Where others run several of their
# parts at a time, as coord does with cores, the tests of those are looked at.
SEQUENTIAL := $(addprefix %/internal/,access advise api/schema api/source bench/machine bench/plot bench/prompts bench/result config \
  coord/core daemon diffusion disk fleet freeport golden job keyfile latents media model/clip model/convert model/published \
  model/tokenizer model/tokenizer/ftfy model/umt5 model/vae partition perf plan price pricefile rollout sched sim sim/scenario \
  sparse tensor tensor/safetensors tensor/torchsave terminal tidy topology underrace userfile wire)

# Tests of processes, which are built without the detector: it would watch the tests alone.
PROCESSES := $(addprefix %/cmd/,coordinator longtake shard)

# What commands do at the same time as something else. All else that meets in them is in other packages.
COMMANDS := ^Test(BenchServeVersus|Interrupt)

# Some tests of what is left are not for the detector, and say why: internal/underrace.
test-race: ## packages with goroutines under the race detector (needs a C compiler)
	@command -v $${CC:-cc} >/dev/null || { echo "test-race: skipped, no C compiler"; exit 0; }; \
	export CGO_ENABLED=1; test="$(GO) test -vet=off -race -short -timeout 20m"; \
	$$test $(filter-out $(SEQUENTIAL) $(PROCESSES) %/internal/cli %/models/demo,$(shell $(GO) list ./...)) && \
	$$test -run '$(COMMANDS)' ./internal/cli

cuda-test: ## the CUDA kernels and device on an emulated GPU (needs g++; fetches cuda.h from PyPI)
	@GO=$(GO) kernels/test.sh

cuda: ## bin/cuda/shard and bin/cuda/longtake, which run on NVIDIA GPUs (needs g++; fetches nvcc and cuda.h from PyPI)
	@GO=$(GO) LDFLAGS='$(LDFLAGS)' kernels/build.sh

gpu-test: ## on a machine with an NVIDIA GPU: the device's conformance, its bits, a whole clip
	@GO=$(GO) LDFLAGS='$(LDFLAGS)' kernels/gpu-test.sh

gpu-kit: ## bin/kit: what tests and times the CUDA side on a machine with a GPU, but without Go and network
	@GO=$(GO) kernels/kit/build.sh

gpu-bench: ## on a machine with an NVIDIA GPU: kernels and passes beside PyTorch (where TORCH has it); fills docs/gpu.md
	@kernels/need-gpu.sh gpu-bench && GO=$(GO) LDFLAGS='$(LDFLAGS)' kernels/build.sh >/dev/null
	@if $(TORCH) -c 'import torch' 2>/dev/null; then \
	  bin/cuda/longtake bench gpu --page docs/gpu.md --torch "$(TORCH) tools/bench_torch_gpu.py"; \
	else echo "gpu-bench: $(TORCH) has no torch; no comparison"; bin/cuda/longtake bench gpu --page docs/gpu.md; fi

test-clients: ## OpenAI's SDKs for Python, Node and Go, MLPerf's LoadGen, checker and client (fetched from PyPI, npm and GitHub into bin/clients)
	LONGTAKE_CLIENTS=1 $(GO) test ./cmd/longtake -count=1 -v -run '^Test(Clients|MLPerf)$$'

test-mlperf: build ## MLPerf's submission checker on a trial by its LoadGen, and its client for endpoints (fetches both; minutes)
	PYTHON="$(PYTHON)" tools/mlperf_check.sh
	PYTHON="$(PYTHON)" tools/mlperf_endpoints.sh

test-long: ## tests that take minutes: whole clips, many jobs, memory over time
	LONGTAKE_LONG=1 $(GO) test -timeout 60m ./...

sim: ## simulate SEEDS clusters (default 100000), each from a seed of its own
	SIM_SEEDS=$(or $(SEEDS),100000) $(GO) test ./internal/sim -count=1 -timeout 24h -v -run 'ClustersSurvive'

scale: build ## the capacity curves of docs/scale.md, as a table; ARGS="--sizes 64:24" for others
	tools/scale.py $(ARGS)

chaos: ## a locked cluster of three coordinators and five shards, as processes, on which things go wrong for DURATION (default 15m); fills docs/reliability.md
	LONGTAKE_CHAOS=$(or $(DURATION),15m) LONGTAKE_CHAOS_SEED=$(or $(SEED),1) LONGTAKE_CHAOS_REPORT=docs/reliability.md \
	  $(GO) test ./cmd/longtake -count=1 -timeout 24h -v -run TestChaos

kept: ## 2,000 clips on a coordinator that keeps 200: what it takes of disk and memory; fills docs/reliability.md
	LONGTAKE_LONG=1 LONGTAKE_KEPT_REPORT=docs/reliability.md \
	  $(GO) test ./cmd/longtake -count=1 -timeout 2h -v -run TestJobsThatAreForgotten

fuzz: ## every fuzz target, $(FUZZ) inputs each (or a time, as FUZZ=1m)
	@GO=$(GO) .ci/fuzz.sh $(FUZZ)

lint: ## staticcheck, govulncheck and, where it is installed, golangci-lint (fetched into bin/tools)
	@GO=$(GO) .ci/lint.sh

bench-compare: build ## 10 comparisons of equal servers and 10 with 5 % planted, on this machine; an hour at most (Python)
	$(PYTHON) tools/bench_compare.py --longtake bin/longtake

bench-cpu: build ## the CPU engine's parts beside PyTorch's (where TORCH has it), and the cost of sharding
	@if $(TORCH) -c 'import torch, diffusers' 2>/dev/null; then \
	  bin/longtake bench engine --torch "$(TORCH) tools/bench_torch.py models/demo"; \
	else echo "bench-cpu: $(TORCH) has no torch and diffusers; no comparison"; bin/longtake bench engine; fi
	bin/longtake bench run
	bin/longtake bench run --dtype bf16
	bin/longtake bench run --shards 1,2 --rounds 4 --checkpoints
	bin/longtake bench run --shards 1,2 --rounds 2 --size 192x128 --steps 12 --checkpoints

bench-net: ## raw TCP, TLS, direct connections and NATS between two processes, and a step of a locked cluster; with root, ip and tc over shaped links, too; fills docs/design/transport.md
	LONGTAKE_NET=$(CURDIR)/docs/design/transport.md \
	  $(GO) test ./internal/collective/direct ./cmd/longtake -p 1 -count=1 -timeout 1h -v -run 'TestBench|TestCostOfSealing'

bench-plan: ## 20 random clips of processes over shaped links, predicted and measured (root, ip, tc); fills docs/planning.md
	LONGTAKE_PLANNED=$(CURDIR)/docs/planning.md LONGTAKE_PLANNED_SEED=$(or $(SEED),1) \
	  $(GO) test ./cmd/longtake -count=1 -timeout 1h -v -run '^TestPlanned$$'

picture: build ## make the README's picture again (Python with pillow)
	bin/longtake generate -p "a red ball bouncing over the sea at sunset" --seed 1 -o bin/frames/
	$(PYTHON) tools/gif.py bin/frames docs/images/clip.gif

long-pictures: build ## make the contact sheets of docs/long-video.md again: a minute in both modes (Python with pillow)
	bin/longtake generate -p "a red ball bouncing over the sea at sunset" --seed 1 --steps 20 --seconds 60 -o bin/long/windows/
	bin/longtake generate -p "a red ball bouncing over the sea at sunset" --seed 1 --steps 20 --seconds 60 --long extend -o bin/long/extend/
	$(PYTHON) tools/contact.py bin/long/windows docs/images/long-windows.png
	$(PYTHON) tools/contact.py bin/long/extend docs/images/long-extend.png

costs: ## fill the tables of docs/long-video.md that say what minutes cost
	LONGTAKE_COSTS=1 $(GO) test ./internal/partition -count=1 -run TestCostsOfLongClips

published: ## fill the tables of docs/planning.md that compare predictions with published figures
	LONGTAKE_PUBLISHED=1 $(GO) test ./internal/perf -count=1 -run TestPageHasTheFigures

golden: ## make the golden tensors again (Python; see tools/README.md)
	cd tools && python3 goldens.py ../testdata/golden --model ../models/demo

notices: ## write THIRD_PARTY_NOTICES.md, after a change of what is linked
	LONGTAKE_NOTICES=1 $(GO) test ./internal/tidy -count=1 -run TestNoticesAreOfWhatIsLinked

clean: ## remove what the targets made
	rm -rf bin demo.webm

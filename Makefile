# Everything runs on this machine with Go, Node (for Azurite) and make. `make help` lists the targets.
SHELL    := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

PORT     ?= 7071
APP      := dist/app
AZURITE  := internal/standin/azurite
BUILD    := CGO_ENABLED=0 go build -trimpath -ldflags='-s -w'
# AUTH=entra: the package is for an app behind built-in authentication, and its functions ask for no key.
OPEN     := $(if $(filter entra,$(AUTH)),go run ./internal/build/openfunctions,: keys of functions stay in)
# Packages without goroutines, and long walks, are tested without the race detector, which would only slow them down; internal/engine with it, too.
PURE     := ./internal/dr ./internal/engine ./internal/model

.PHONY: help run demo demo-region-loss bench test test-browser test-live model chaos fuzz upgrade-test lint lint-infra vuln package package-test deploy verify-azure azurite stage tools clean

help: ## list the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: stage $(AZURITE)/node_modules/.installed ## build and start everything here, show backups, a failover, a drill and an export of usage data, stay up (PORT=7071)
	@go build -o dist/devstack ./internal/standin/cmd/devstack
	@exec dist/devstack -app $(APP) -port $(or $(PORT),7071) run

demo: stage $(AZURITE)/node_modules/.installed ## the same without staying up; fails unless every expected event arrives and ARM shows the same
	@go build -o dist/devstack ./internal/standin/cmd/devstack
	@exec dist/devstack -app $(APP) -port 0 demo

demo-region-loss: stage $(AZURITE)/node_modules/.installed ## two stamps: one is lost with its region, the other fails over, the region returns
	@go build -o dist/devstack ./internal/standin/cmd/devstack
	@exec dist/devstack -app $(APP) region-loss

test: tools $(AZURITE)/node_modules/.installed ## all tests, with the race detector where there are goroutines
	go test -timeout 4m $(PURE)
	go test -race -timeout 4m $$(go list ./... | grep -vE '/internal/(chaos|cost|dr|e2e|model|secrets|upgrade|walkthrough)$$')
	go test -race -timeout 6m -count=1 -p 1 ./internal/e2e ./internal/secrets ./internal/chaos ./internal/cost ./internal/walkthrough # they build the app themselves, which Go's test cache does not see
	@$(CHROMIUM) || echo "make test: what only a browser can show of the dashboard is NOT RUN, no Chromium here: make test-browser installs one" >&2

# One of those that internal/browsertest looks for.
CHROMIUM := { command -v chromium || command -v chromium-browser || command -v google-chrome; } >/dev/null
test-browser: tools $(AZURITE)/node_modules/.installed ## the dashboard in a real Chromium, alone and on the fleet of make run; installs Debian's chromium when there is none
	@$(CHROMIUM) || { \
		command -v apt-get >/dev/null || { echo 'make test-browser: no Chromium and no apt-get: install Chromium or Google Chrome' >&2; exit 1; }; \
		sudo=; [ "$$(id -u)" = 0 ] || sudo=sudo; \
		echo 'installing Chromium (once, about a minute)' >&2; $$sudo apt-get update -q >&2 && $$sudo apt-get install -qy chromium >&2; }
	BROWSER_REQUIRED=1 go test -race -count=1 -p 1 -timeout 5m -run Browser ./internal/dashboard ./internal/e2e

LIVE := AZURE_LIVE_SERVICE AZURE_LIVE_SERVICEBUS AZURE_LIVE_PREFIX AZURE_LIVE_STORAGE
test-live: tools ## the suites of ARM client, bus and store against Azure, as whoever ran az login: docs/live.md says what they need, cost and leave
	@missing=; for name in $(LIVE); do [ -n "$${!name:-}" ] || missing="$$missing $$name"; done; \
	[ -z "$$missing" ] || { echo "make test-live: not set:$$missing (docs/live.md)" >&2; exit 1; }
	@command -v az >/dev/null || { echo 'make test-live: az is missing: install the Azure CLI and run az login' >&2; exit 1; }
	@[ -n "$${AZURE_LIVE_BACKUP:-}" ] || echo 'make test-live: NO BACKUP IS MADE, AZURE_LIVE_BACKUP=account/container is not set' >&2
	AZURE_LIVE=1 go test -v -count=1 -timeout 6h -run 'KeepsTheContract$$' ./internal/apim ./internal/bus ./internal/store

STATES ?= 4000000
model: tools ## explore all states of the protocol with more faults than in make test: millions (STATES= at most, for each set of faults)
	go test -count=1 -v -timeout 30m ./internal/model -run InEveryState -large -states $(STATES) | grep -v -e '^=== ' -e '^ *---'

bench: stage $(AZURITE)/node_modules/.installed ## ratios beside yardsticks, into a table and dist/bench.json (DOC=1: also into docs/performance.md)
	@go build -o dist/bench ./internal/bench
	@dist/bench -app $(APP) -out dist/bench.json $(if $(DOC),-doc)

FUZZTIME ?= 30s
fuzz: tools ## every fuzz target in turn (FUZZTIME=30s each)
	@for pkg in $$(go list ./...); do for target in $$(go test -list '^Fuzz' $$pkg | grep '^Fuzz'); do \
		echo "== $$pkg $$target"; go test -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) $$pkg; \
	done; done

DURATION ?= 10m
chaos: tools $(AZURITE)/node_modules/.installed ## hundreds of operations while the handler is killed and everything around it goes wrong (DURATION=10m SEED=n)
	@mkdir -p dist/chaos
	go test -race -count=1 -v -timeout 0 ./internal/chaos -args -duration $(DURATION) $(if $(SEED),-seed $(SEED)) -report $(CURDIR)/dist/chaos

# A revision that this clone does not have, as a shallow one may not, is fetched if it can be, or else told and passed over (UPGRADE_REQUIRED=1: fails).
UPGRADE_FROM ?= HEAD~1 478b21d
upgrade-test: stage $(AZURITE)/node_modules/.installed ## this app takes over from those of UPGRADE_FROM in the middle of operations, and back
	@apps=; for rev in $(UPGRADE_FROM); do \
		find() { git rev-parse -q --verify --short "$$rev^{commit}"; }; \
		sha=$$(find || { git fetch -q --unshallow 2>/dev/null && find; }) || { \
			echo "make upgrade-test: NOT TESTED from $$rev, which this clone does not have (git fetch --unshallow may bring it)" >&2; \
			[ "$(UPGRADE_REQUIRED)" = 1 ] && exit 1; continue; }; \
		at=$(CURDIR)/dist/upgrade/$$sha; \
		if [ ! -e $$at/app ]; then \
			rm -rf $$at && mkdir -p $$at/src && git archive $$sha | tar -x -C $$at/src && $(MAKE) -s -C $$at/src stage APP=$$at/app; \
		fi; \
		apps="$$apps $$at/app"; \
	done; \
	[ -z "$$apps" ] || UPGRADE_APP=$(CURDIR)/$(APP) UPGRADE_FROM_APPS="$$apps" go test -race -timeout 4m -count=1 ./internal/upgrade

lint: tools ## gofmt, go vet, staticcheck, go.mod tidiness
	@bad=$$(gofmt -l $$(git ls-files '*.go')); test -z "$$bad" || { echo "gofmt: $$bad"; exit 1; }
	go vet ./...
	go tool staticcheck ./...
	go mod tidy -diff

lint-infra: export BICEP ?= bicep
lint-infra: ## compile and lint the template with the command in BICEP (default: bicep), compare main.json and snapshots (UPDATE=1: write them; BICEP_REQUIRED=1: no command fails)
	@UPDATE=$(UPDATE) BICEP_REQUIRED=$(BICEP_REQUIRED) bash infra/check.sh

# govulncheck ends with 3 when it finds something. Only a database that did not answer is passed over, and that is said.
vuln: tools ## known vulnerabilities in what is called (VULN_REQUIRED=1: a database that cannot be reached fails, too)
	@rc=0; out=$$(go tool govulncheck $(VULN_FLAGS) ./... 2>&1) || rc=$$?; \
	if [ $$rc = 1 ] && grep -q '^govulncheck: fetching vulnerabilities: Get ' <<<"$$out"; then \
		echo "make vuln: NOT CHECKED, the vulnerability database cannot be reached: $$out" >&2; \
		exit $(if $(filter 1,$(VULN_REQUIRED)),1,0); \
	fi; \
	echo "$$out"; exit $$rc

package: tools ## dist/apim-dr.zip for linux/amd64, ready to deploy (AUTH=entra: for tokens in place of function keys)
	@rm -rf dist/package dist/apim-dr.zip && mkdir -p dist/package
	@cp -r functions/. dist/package/ && cp host.json dist/package/
	@$(OPEN) dist/package
	@GOOS=linux GOARCH=amd64 GOAMD64=v1 $(BUILD) -o dist/package/apim-dr .
	@go run ./internal/build/stagezip dist/package dist/apim-dr.zip

# The second package is built in another folder with an empty build cache of its own, as on another machine.
package-test: package $(AZURITE)/node_modules/.installed ## the package twice, byte for byte the same, and the demo from what it unpacks to
	@rm -rf dist/again && mkdir -p dist/again
	@git ls-files -zco --exclude-standard | xargs -0 tar -c | tar -x -C dist/again && cp -r .git dist/again/.git
	@GOCACHE=$(CURDIR)/dist/again/cache $(MAKE) -s -C dist/again package AUTH=$(AUTH)
	@cmp dist/apim-dr.zip dist/again/dist/apim-dr.zip && echo 'make package twice: the same bytes' && rm -rf dist/again
	@rm -rf dist/unpacked && go run ./internal/build/stagezip -unpack dist/apim-dr.zip dist/unpacked
	@if [ "$$(go env GOOS)/$$(go env GOARCH)" = linux/amd64 ]; then \
		go build -o dist/devstack ./internal/standin/cmd/devstack && dist/devstack -app dist/unpacked -port 0 demo; \
	else echo 'make package-test: the demo of the package is NOT RUN, it is for linux/amd64' >&2; fi

deploy: ## deploy dist/apim-dr.zip: RG= and NAME=, or DEPLOYMENT= for all its apps; with az, func or azd (TOOL=); ZIP= another package
	@RG='$(RG)' NAME='$(NAME)' APPS='$(APPS)' DEPLOYMENT='$(DEPLOYMENT)' TOOL='$(TOOL)' ZIP='$(ZIP)' bash infra/deploy.sh

verify-azure: tools ## try permissions, storage and one backup against your Azure, with az login (VERIFY='--fleet fleet.json --service NAME'; all flags: VERIFY=--help)
	@[ -n "$(VERIFY)$${FLEET-}$${FLEET_FILE-}" ] || { \
		echo "make verify-azure: no fleet. Say where it is, and which instance is backed up (docs/verify.md):" >&2; \
		echo "  make verify-azure VERIFY='--fleet fleet.json --service contoso-eu --record contoso.json'" >&2; exit 1; }
	@[ -n "$${CREDENTIAL-}" ] || command -v az >/dev/null || { \
		echo 'make verify-azure: az is missing. Install the Azure CLI and log in (az login), or set CREDENTIAL (docs/configuration.md)' >&2; exit 1; }
	@go run . verify $(VERIFY)

stage: tools ## build the handler and stage it as the Functions host wants it: dist/app
	@echo 'building (the first time about a minute)' >&2
	@rm -rf $(APP).new && mkdir -p $(APP).new
	@cp -r functions/. $(APP).new/ && cp host.json $(APP).new/
	@$(OPEN) $(APP).new
	@$(BUILD) -o $(APP).new/apim-dr .
	@rm -rf $(APP) && mv $(APP).new $(APP)

azurite: $(AZURITE)/node_modules/.installed ## install Azurite (npm, pinned)

$(AZURITE)/node_modules/.installed: $(AZURITE)/package-lock.json
	@command -v node >/dev/null && command -v npm >/dev/null || { echo 'Node with npm is missing: install Node 20 or newer (https://nodejs.org), it runs Azurite'; exit 1; }
	@node -e 'process.exit(+process.versions.node.split(".")[0] < 20 ? 1 : 0)' || { echo 'Node is too old: install Node 20 or newer (https://nodejs.org), it runs Azurite'; exit 1; }
	@echo 'installing Azurite (once, about half a minute)' >&2
	@npm ci --prefix $(AZURITE) --no-audit --no-fund --ignore-scripts --loglevel=error >&2
	@touch $@

tools:
	@command -v go >/dev/null || { echo 'Go is missing: install Go 1.26 or newer (https://go.dev/dl)'; exit 1; }

clean: ## remove what was built
	rm -rf dist $(AZURITE)/node_modules

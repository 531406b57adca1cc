# How every addon of this project is built. A package's native/Makefile sets
#
#   NAME     the addon becomes ../prebuilds/<platform>-<arch>/ce_$(NAME).node, which is what the package ships
#   SOURCES  its .cc files, relative to native/
#
# and includes this file. `make SANITIZE=address,undefined` builds into ../build/sanitize/ instead, `make ARCH=arm64`
# for another processor (with Debian's g++-aarch64-linux-gnu, or the compiler that CXX names).

KIT := $(patsubst %/,%,$(dir $(abspath $(lastword $(MAKEFILE_LIST)))))
NODE ?= node
include_dir = $(shell cd $(CURDIR) && $(NODE) -p "path.resolve(require('$(1)').include_dir)")
NODE_INCLUDES := $(call include_dir,node-addon-api) $(call include_dir,node-api-headers)
ifneq ($(words $(NODE_INCLUDES)),2)
$(error node-addon-api and node-api-headers were not found: run npm install first)
endif

OWN_ARCH := $(shell $(NODE) -p process.arch)
ARCH ?= $(OWN_ARCH)
ifneq ($(ARCH),$(OWN_ARCH))
ifeq ($(origin CXX),default)
CXX := $(patsubst arm64,aarch64,$(patsubst x64,x86_64,$(ARCH)))-linux-gnu-g++
endif
endif

BUILD := ../build/$(if $(SANITIZE),sanitize,linux-$(ARCH))
OBJECTS := $(SOURCES:%.cc=$(BUILD)/obj/%.o)
ADDON := $(if $(SANITIZE),$(BUILD),../prebuilds/linux-$(ARCH))/ce_$(NAME).node

CXXFLAGS ?= -O2$(if $(SANITIZE), -g1)
# Swallow: while an environment ends (a worker thread is terminated), JavaScript cannot receive exceptions. Without this
# option, node-addon-api throws a C++ exception instead, which nothing catches, and the process aborts.
ALL_CXXFLAGS := -std=c++17 -fPIC -fvisibility=hidden -pthread -Wall -Wextra -Werror $(CXXFLAGS) \
  -DNAPI_VERSION=8 -DNAPI_CPP_EXCEPTIONS -DNODE_ADDON_API_DISABLE_DEPRECATED -D_FILE_OFFSET_BITS=64 \
  -DNODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS \
  -I. -I$(KIT)/include $(addprefix -isystem ,$(NODE_INCLUDES)) \
  $(if $(SANITIZE),-fsanitize=$(SANITIZE) -fno-omit-frame-pointer -fno-sanitize-recover=all)
# nodelete: threads of the addon may outlive the worker thread that loaded it. The C++ runtime is linked in, hidden, and
# without the parts that are not called, so that older systems and images without it (slim, distroless) load the addon.
ALL_LDFLAGS := -shared -pthread -Wl,-z,nodelete -Wl,-z,now -Wl,--version-script=$(KIT)/include/addon.map $(LDFLAGS) \
  $(if $(SANITIZE),-fsanitize=$(SANITIZE),-static-libstdc++ -static-libgcc -Wl,--gc-sections -Wl,--strip-debug)

.PHONY: all clean
all: $(ADDON)

# Renamed into place, so that processes that load it meanwhile find the old one or the new one.
$(ADDON): $(OBJECTS) $(KIT)/include/addon.map
	@mkdir -p $(@D)
	$(CXX) -o $@.new $(OBJECTS) $(ALL_LDFLAGS) -ldl
	mv $@.new $@

$(BUILD)/obj/%.o: %.cc $(MAKEFILE_LIST)
	@mkdir -p $(@D)
	$(CXX) $(ALL_CXXFLAGS) -MMD -MP -c -o $@ $<

clean:
	rm -rf $(BUILD) $(ADDON)

-include $(OBJECTS:.o=.d)

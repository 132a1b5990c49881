# A build of Lua from Debian's source by make and tcc, in an empty directory; what was built then runs.
SHELL := /usr/bin/sh
SOURCE := /usr/src/lua
OBJECTS := $(patsubst $(SOURCE)/%.c,%.o,$(filter-out $(SOURCE)/luac.c,$(wildcard $(SOURCE)/*.c)))

check: lua
	./lua -e 'local t = {} for i = 1, 100 do t[i] = i * i end print(#t, t[100], _VERSION)' > check
	cat check

lua: $(OBJECTS)
	tcc -static -o $@ $^ -lm

%.o: $(SOURCE)/%.c $(wildcard $(SOURCE)/*.h)
	tcc -DLUA_USE_POSIX -c $< -o $@

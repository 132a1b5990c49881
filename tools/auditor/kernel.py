"""What the auditor knows of the kernel: its symbols, the address map, class numbers and a few offsets.

Nothing here is copied by hand. The address map is read from mm/addrmap.h, symbols from the ELF's symbol table,
enumerations and offsets of structs from its debug information (by way of readelf, of binutils, which built the kernel).
"""
import re
import shutil
import struct
import subprocess


CLASSES = ('FREE', 'GLOBAL', 'LOCAL', 'USER', 'SECRET', 'DIRTY', 'RESERVED')


class AuditorError(Exception):
    """The auditor cannot do its work: not a violation, but not a clean bill either."""


# --- Symbols ---------------------------------------------------------------------------------------------------------

SECTION_HEADER = struct.Struct('<IIQQQQIIQQ')  # ELF64: name, type, flags, address, offset, size, link, …, entry size
SYMBOL = struct.Struct('<IBBHQQ')
SHT_SYMTAB = 2


def read_symbols(path):
    """The ELF's symbols: name → address. Static ones too; of equal names the last."""
    with open(path, 'rb') as file:
        elf = file.read()
    if elf[:6] != b'\x7fELF\x02\x01':
        raise AuditorError(f'{path} is not a little-endian ELF64 file')
    table, = struct.unpack_from('<Q', elf, 40)
    entry_size, count = struct.unpack_from('<HH', elf, 58)
    sections = [SECTION_HEADER.unpack_from(elf, table + i * entry_size) for i in range(count)]
    symbols = {}
    for section in sections:
        if section[1] != SHT_SYMTAB:
            continue
        names = sections[section[6]][4]
        for offset in range(section[4], section[4] + section[5], SYMBOL.size):
            name, _, _, _, value, _ = SYMBOL.unpack_from(elf, offset)
            end = elf.index(b'\0', names + name)
            symbols[elf[names + name:end].decode()] = value
    return symbols


# --- Numbers in headers ----------------------------------------------------------------------------------------------

class Defines:
    """The #defines of a header that are numbers, evaluated as C would. One with a parameter is a function."""

    def __init__(self, *paths):
        self.text = {}
        for path in paths:
            with open(path, encoding='utf-8') as file:
                source = re.sub(r'/\*.*?\*/', ' ', file.read(), flags=re.S)
            for name, parameter, value in re.findall(r'^#define (\w+)(?:\((\w+)\))? +(.+)$', source, re.M):
                self.text[name] = (parameter, value)

    def __getitem__(self, name):
        if name not in self.text:
            raise KeyError(name)
        parameter, value = self.text[name]
        value = re.sub(r'\(unsigned long\)', '', value)
        value = re.sub(r'\b(0[xX][0-9a-fA-F]+|\d+)[uUlL]+\b', r'\1', value).replace('/', '//')
        if parameter:
            return eval(f'lambda {parameter}: ({value}) & (1 << 64) - 1', {}, self)  # pylint: disable=eval-used
        return eval(value, {'__builtins__': {}}, self) & (1 << 64) - 1  # pylint: disable=eval-used


class AddressMap:
    """mm/addrmap.h as attributes, and the few numbers of other headers that say how a region is divided."""

    def __init__(self, source):
        defines = Defines(f'{source}/mm/addrmap.h', f'{source}/mm/ephmap.h')
        slot_base = {name: (0xffff << 48 | defines[name] << 39) for name, (parameter, _) in defines.text.items()
                     if name.startswith('SLOT_') and not parameter}
        for name in defines.text:
            if not defines.text[name][0]:
                try:
                    value = defines[name]
                except (NameError, KeyError, SyntaxError, TypeError):
                    continue
                setattr(self, name, value)
        for name in slot_base:  # the numbers must mean what the hardware takes them for
            base = self.__dict__.get(name.replace('SLOT_', '') + '_BASE')
            if base is not None and base >> 39 << 39 != slot_base[name]:
                raise AuditorError(f'mm/addrmap.h: {name} and its base do not agree')

    def __getattr__(self, name):
        raise AuditorError(f'mm/addrmap.h defines no {name}')


# --- Layout ----------------------------------------------------------------------------------------------------------

class Layout:
    """Offsets and enumerators by the names that debug information gives them."""

    LINE = re.compile(r'^ *<(\w+)>(?:<\w+>: Abbrev Number: \d+ \(DW_TAG_(\w+)\)| +DW_AT_(\w+) *:(.*))')

    def __init__(self, kernel_path):
        self.offsets = {}  # (struct, member) → bytes
        self.sizes = {}
        self.enumerators = {}
        self._read(self._dump(kernel_path))

    @staticmethod
    def _dump(kernel_path):
        for tool in ('readelf', 'x86_64-elf-readelf', 'x86_64-linux-gnu-readelf'):
            if shutil.which(tool):
                result = subprocess.run([tool, '--debug-dump=info', kernel_path], stdout=subprocess.PIPE,
                                        stderr=subprocess.DEVNULL, check=True)
                return result.stdout.decode(errors='replace').splitlines()
        raise AuditorError('no readelf (Debian: binutils)')

    def _read(self, lines):
        entry = {}
        owner = None  # the struct whose members come
        for line in lines:
            match = self.LINE.match(line)
            if not match:
                continue
            depth, tag, attribute, value = match.groups()
            if not tag:
                entry.setdefault(attribute, value)
                continue
            owner = self._note(entry, owner)
            entry = {'tag': tag, 'depth': int(depth)}
        self._note(entry, owner)

    def _note(self, entry, owner):
        """Records one finished entry; returns the struct that following members belong to, with its depth."""
        tag = entry.get('tag')
        name = entry.get('name', '').rsplit(': ', 1)[-1].strip()
        if tag == 'enumerator':
            self.enumerators[name] = int(entry['const_value'], 0)
        elif tag == 'structure_type' and entry['depth'] == 1:
            if name and 'byte_size' in entry:
                self.sizes[name] = int(entry['byte_size'], 0)
                return name
            return None
        elif tag == 'member' and owner and entry['depth'] == 2:
            self.offsets[owner, name] = int(entry.get('data_member_location', '0'), 0)
        elif entry.get('depth') == 1:
            return None
        return owner

    def offset(self, of_struct, member):
        """Bytes from the start of the struct to the member."""
        try:
            return self.offsets[of_struct, member]
        except KeyError:
            raise AuditorError(f'struct {of_struct} has no member {member} any more: teach tools/auditor') from None


class Kernel:
    """All of it for one build."""

    def __init__(self, source, path):
        self.source, self.path = source, path
        self.symbols = read_symbols(path)
        self.map = AddressMap(source)
        self.layout = Layout(path)
        if self.layout.sizes.get('frame') != 24:
            raise AuditorError('struct frame is not 24 bytes: the contract with mm/frame.h is broken')
        self.classes = {self.class_number(name): name for name in CLASSES}
        self.modes = {value: name[len('ASI_MODE_'):].lower() for name, value in self.layout.enumerators.items()
                      if name.startswith('ASI_MODE_')}
        self.functions = sorted((address, name) for name, address in self.symbols.items()
                                if self['text_start'] <= address < self['text_end'])

    def __getitem__(self, name):
        """The address of a symbol."""
        try:
            return self.symbols[name]
        except KeyError:
            raise AuditorError(f'{self.path} has no symbol {name} any more: teach tools/auditor') from None

    def physical(self, name):
        """Where the symbol lies in RAM: the image is not moved."""
        return self[name] - self.map.IMAGE_BASE

    def class_number(self, name):
        """The number of a class, by its name without FRAME_."""
        try:
            return self.layout.enumerators['FRAME_' + name]
        except KeyError:
            raise AuditorError(f'enum frame_class has no FRAME_{name} any more: teach tools/auditor') from None

    def where(self, address):
        """An instruction's address in words."""
        best = None
        for start, name in self.functions:
            if start > address:
                break
            best = (start, name)
        return f'{best[1]}+{address - best[0]:#x}' if best and address < self['text_end'] else f'{address:#x}'

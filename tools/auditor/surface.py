"""What speculation could reach in one process's restricted space: the attack surface, in KiB by region and class."""
REGIONS = ('USER', 'EPHMAP', 'LOCAL', 'STACK', 'PTWINDOW', 'GLOBAL', 'IMAGE')
CLASSES = ('USER', 'SECRET', 'LOCAL', 'GLOBAL', 'device')
KIB = 4


class Surface:
    """Of a process at one moment; `pages` maps (region, class) to how many."""

    def __init__(self, look, root):
        self.title = f'process {root.owner} {look.books.name(root)}, mode {look.mode}'
        self.pages = root.mapped.copy()
        for table in root.tables:
            self.pages['PTWINDOW', look.kernel.classes[look.frames.classes[table]]] += 1
        held = [look.kernel.classes[number] for number in look.frames.classes]
        self.private = sum(held.count(name) for name in ('USER', 'SECRET', 'LOCAL', 'DIRTY')) * KIB

    def kib(self, region, name):
        """KiB of a class in a region."""
        return self.pages[region, name] * KIB

    def reached(self):
        """KiB that are not everybody's."""
        return sum(self.kib(region, name) for region in REGIONS for name in CLASSES[:3])

    def print(self, moment):
        """The table."""
        print(f'{self.title}, {moment}: KiB mapped in its restricted space')
        print(f'{"":10}' + ''.join(f'{name:>10}' for name in (*CLASSES, 'all')))
        for region in (*REGIONS, 'all'):
            regions = REGIONS if region == 'all' else (region,)
            row = [sum(self.kib(each, name) for each in regions) for name in CLASSES]
            print(f'{region:10}' + ''.join(f'{kib or "·":>10}' for kib in (*row, sum(row))))
        reached, views = self.reached(), self.kib('EPHMAP', 'SECRET')
        print(f'The machine holds {self.private} KiB of classes USER, SECRET, LOCAL and DIRTY. {reached} KiB of them '
              f'({100 * reached / self.private:.2f}%)\nare mapped here, {views} KiB by windows on what it has open; '
              'with PHYSMAP it would be 100%.')


def surface_of(look, which):
    """The surface of the process with that number or name, or None. The look is judged by the way."""
    look.judge()
    for root in look.roots.values():
        process = look.books.processes.get(root.frame)
        if which in (str(root.owner), process.name if process else None) and root.mapped['USER', 'USER']:
            return Surface(look, root)
    return None

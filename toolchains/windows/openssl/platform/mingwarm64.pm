package platform::mingwarm64;

# Names of DLLs for Arm as in the official build (PCbuild/openssl.props): libcrypto-3-arm64.dll. All other names are those of MinGW.
use strict;
use warnings;

require platform::mingw;
our @ISA = ('platform::mingw');

sub sharedname {
    my $name = platform::mingw->sharedname($_[1]);
    return defined $name ? "$name-arm64" : undef;
}

# (the resource compiler makes an object file of what ends in .obj, and one of x86_64)
sub resext { '.res' }

1;

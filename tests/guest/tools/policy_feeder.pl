#!/usr/bin/perl
# Writes to the kernel's policy file and tells what came of it, one line for each record of FILE: what write(2)
# returned, errno, and for files what the kernel made of the load ("completed", "failed").
#
#   policy_feeder.pl lines FILE   every record is one write, all in one open, as a dry run
#   policy_feeder.pl files FILE   every record is a file that is loaded by path, in an open of its own, as a dry run
#   policy_feeder.pl load FILE    the same in earnest
#
# A record is its length (32 bits, big endian) and its bytes. In a dry run a bad line comes first, after which the kernel
# still says what it makes of each write, but applies nothing.
use strict;
use warnings;
use Fcntl;

my $policy = '/sys/kernel/security/ima/policy';
my $copy   = '/run/policy-to-load';
my ($mode, $file) = @ARGV;

sub put {
    my ($handle, $bytes) = @_;
    my $written = syswrite($handle, $bytes);
    return defined $written ? "$written 0" : '-1 ' . ($! + 0);
}

sub begin {
    sysopen(my $handle, $policy, O_WRONLY) or die "$policy: $!\n";
    if ($mode ne 'load') {
        my $said = put($handle, "x\n");
        $said eq '-1 22' or die "a bad line was taken: $said\n";
    }
    return $handle;
}

sysopen(my $messages, '/dev/kmsg', O_RDONLY | O_NONBLOCK) or die "/dev/kmsg: $!\n";
sysseek($messages, 0, 2);

sub outcome {
    my $outcome = 'unknown';
    while (1) {
        my $count = sysread($messages, my $record, 8192);
        if (!defined $count) {
            next if $!{EPIPE};
            last if $!{EAGAIN};
            die "/dev/kmsg: $!\n";
        }
        $outcome = $1 if $record =~ /;ima: policy update (completed|failed)/;
    }
    return $outcome;
}

open(my $in, '<:raw', $file) or die "$file: $!\n";
my $all = do { local $/; <$in> };
my @records;
for (my $at = 0; $at < length $all;) {
    my $length = unpack('N', substr($all, $at, 4));
    push @records, substr($all, $at + 4, $length);
    $at += 4 + $length;
}

if ($mode eq 'lines') {
    my $handle = begin();
    print put($handle, $_), "\n" for @records;
} else {
    for my $record (@records) {
        open(my $out, '>:raw', $copy) or die "$copy: $!\n";
        print $out $record;
        close($out) or die "$copy: $!\n";
        outcome();
        my $handle = begin();
        my $said   = put($handle, $copy);
        close($handle) or die "$policy: $!\n";
        print "$said ", outcome(), "\n";
    }
}
